#!/usr/bin/env python3
"""softdot beside what Python's users would otherwise call for attention weights.

One process for each number of threads; in it contenders that take turns, each in its best known
form, each answer checked before it is timed. docs/comparison.md has the rules.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import machine
import report
import workloads

#: What libraries read when they are loaded.
THREAD_VARIABLES = ["MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]

#: What would hold numpy's OpenBLAS back: the kernels of an older CPU, or blocks for another cache.
SLOWING_VARIABLES = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]


def main() -> None:
    arguments = parse()
    if arguments.in_process is not None:
        measure(arguments)
        return
    if not workloads.select(arguments.filter, arguments.all):
        sys.exit(f"--filter: expected part of the name of a workload, found {arguments.filter!r}")
    for name in SLOWING_VARIABLES:
        if os.environ.pop(name, None) is not None:
            print(f"{name} is set and is left out: it slows numpy", file=sys.stderr)
    # Before this run is a load itself.
    where = machine.detect()
    everything = arguments.threads or len(os.sched_getaffinity(0))
    results = [in_process_of_its_own(threads) for threads in sorted({1, everything})]
    answer = {
        "command": " ".join(["python benchmarks/peers.py", *sys.argv[1:]]),
        "machine": where,
        "versions": results[0]["versions"],
        "missing": results[0]["missing"],
        "records": [record for result in results for record in result["records"]],
    }
    print(report.markdown(answer), end="")
    if arguments.json:
        arguments.json.write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n")
    if arguments.chart:
        import chart

        chart.draw(answer, arguments.chart)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, for trying")
    parser.add_argument("--all", action="store_true", help="awkward sizes, too")
    parser.add_argument("--filter", default="", help="workloads whose names contain this")
    parser.add_argument("--threads", type=_count, help="instead of one for each CPU")
    parser.add_argument("--json", type=pathlib.Path, help="a file for all that was measured")
    parser.add_argument("--chart", type=pathlib.Path, help="a file for bars, .svg or .png")
    parser.add_argument("--in-process", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, found {text!r}")
    return int(text)


def in_process_of_its_own(threads: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        answer = pathlib.Path(folder, "answer.json")
        command = [sys.executable, *sys.argv, "--in-process", str(threads), "--answer", str(answer)]
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            sys.exit(f"no answer with {threads} threads")
        return json.loads(answer.read_text())


def measure(arguments: argparse.Namespace) -> None:
    import contenders
    import rounds

    libraries, missing = contenders.load(arguments.in_process)
    effort = rounds.Effort.quick() if arguments.quick else rounds.Effort.full()
    records = []
    for workload in workloads.select(arguments.filter, arguments.all):
        print(f"{workload.name}, threads {arguments.in_process}", file=sys.stderr)
        for record in rounds.run(workload, libraries, arguments.in_process, effort):
            records.append({**record, "threads": arguments.in_process})
    versions = {library.NAME: library.version() for library in libraries}
    answer = {"versions": versions, "missing": missing, "records": records}
    arguments.answer.write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
