"""The report, in Markdown."""

from __future__ import annotations

NOTES = """\
Median of a call; in brackets how many times softdot's time that is, the median over the rounds of the
ratio within a round. Last column: the fastest of the others' ratio (above 1, softdot is ahead).
"""


def markdown(answer: dict) -> str:
    """Head, one table for each number of threads, notes."""
    threads = sorted({record["threads"] for record in answer["records"]})
    tables = [_table(answer["records"], count) for count in threads]
    return "\n".join([_head(answer), *tables, NOTES])


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


def _table(all_records: list[dict], threads: int) -> str:
    records = [record for record in all_records if record["threads"] == threads]
    contenders = list(dict.fromkeys(record["contender"] for record in records))
    workloads = list(dict.fromkeys(record["workload"] for record in records))
    title = "1 thread" if threads == 1 else f"{threads} threads"
    rows = [[title, *contenders, "best other"], ["---", *["---:"] * (len(contenders) + 1)]]
    for workload in workloads:
        own = {record["contender"]: record for record in records if record["workload"] == workload}
        others = [record["ratio"] for name, record in own.items() if not is_ours(name)]
        best = f"{min(others):.2f}×" if others else "–"
        rows.append([workload, *(_cell(own[name]) for name in contenders), best])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def is_ours(contender: str) -> bool:
    """Whether it is one of softdot's own."""
    return contender.startswith("softdot")


def _cell(record: dict) -> str:
    time = duration(record["median_s"])
    return time if record["contender"] == "softdot" else f"{time} ({record['ratio']:.2f})"


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.1f} µs"
