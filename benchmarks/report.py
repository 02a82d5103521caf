"""The report, in Markdown."""

from __future__ import annotations

NOTES = """\
Median of a call; in brackets how many times {base}'s time that is, the median over the rounds of the
ratio within a round. Best other / {base}: the smallest of the others' ratios (above 1, {base} is
ahead). Forms: the fastest of those in which a contender is known to be fast takes part; openvino's
names its compiled model's layers and their implementations. GFLOP/s: {base}'s; 4 FLOP for each
attended pair and dimension of an output, 2 of weights and scores for each pair and dimension,
attended or not.
"""


def markdown(answer: dict) -> str:
    """Head, tables, notes."""
    parts = [
        part(title, records)
        for title, records in tables_of(answer["records"])
        for part in (_table, _forms)
    ]
    return "\n".join([_head(answer), *parts, NOTES.format(base=base(answer["records"]))])


def base(records: list[dict]) -> str:
    """Whose times the ratios are to: softdot's, if it is installed."""
    return records[0]["contender"]


def tables_of(records: list[dict]) -> list[tuple[str, list[dict]]]:
    """A title and records for each number of threads and those who have all workloads in common."""
    workloads: dict[tuple, list[dict]] = {}
    for record in sorted(records, key=lambda record: record["threads"]):
        workloads.setdefault((record["threads"], record["workload"]), []).append(record)
    tables: dict[tuple, list[dict]] = {}
    for (threads, _), own in workloads.items():
        contenders = [record["contender"] for record in own]
        tables.setdefault((threads, *contenders), []).extend(own)
    titles = ("1 thread" if threads == 1 else f"{threads} threads" for threads, *_ in tables)
    return list(zip(titles, tables.values()))


def _head(answer: dict) -> str:
    machine, versions = answer["machine"], answer["versions"]
    rounds = sorted(record["rounds"] for record in answer["records"])
    lines = [
        f"- command: `{answer['command']}`, {machine['date']}",
        f"- machine: {machine['cpu']}, {machine['cpus']} CPUs, {machine['isa']}; load "
        f"{machine['load']} before the run",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}; "
        f"Python {machine['python']}",
        f"- rounds: {rounds[0]} to {rounds[-1]}",
    ]
    if answer["missing"]:
        lines.append(f"- not installed: {', '.join(answer['missing'])}")
    return "\n".join(lines) + "\n"


def _table(title: str, records: list[dict]) -> str:
    contenders = list(dict.fromkeys(record["contender"] for record in records))
    workloads = list(dict.fromkeys(record["workload"] for record in records))
    head = [title, *contenders, f"best other / {base(records)}", "GFLOP/s"]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for workload in workloads:
        own = {record["contender"]: record for record in records if record["workload"] == workload}
        first = own[base(records)]
        others = [record["ratio"] for name, record in own.items() if not _is(name, first)]
        best = f"{min(others):.2f}×" if others else "–"
        cells = [_cell(own[name], first) for name in contenders]
        rows.append([workload, *cells, best, f"{first['gflops']:.0f}"])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _forms(title: str, records: list[dict]) -> str:
    """What each contender called, and where."""
    workloads: dict[str, dict[str, list[str]]] = {}
    for record in records:
        forms = workloads.setdefault(record["contender"], {})
        forms.setdefault(record["form"], []).append(record["workload"])
    lines = [f"Forms, {title}:\n\n"]
    for contender, forms in workloads.items():
        told = [f"{form} ({', '.join(names)})" for form, names in forms.items()]
        lines.append(f"- {contender}: {'; '.join(told if len(told) > 1 else forms)}\n")
    return "".join(lines)


def _is(contender: str, first: dict) -> bool:
    """Whether it is the first, or another of the same library's."""
    return contender.split(",")[0] == first["contender"].split(",")[0]


def _cell(record: dict, first: dict) -> str:
    time = duration(record["median_s"])
    return time if record is first else f"{time} ({record['ratio']:.2f})"


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.1f} µs"
