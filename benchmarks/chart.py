"""Bars: everyone's time as a multiple of softdot's, on each workload."""

from __future__ import annotations

import pathlib

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot  # noqa: E402

import report  # noqa: E402


def draw(answer: dict, path: pathlib.Path) -> None:
    """One panel for each of the report's tables."""
    # The same file for the same numbers.
    matplotlib.rcParams.update({"svg.hashsalt": "softdot", "svg.fonttype": "none"})
    tables = report.tables_of(answer["records"])
    figure, panels = pyplot.subplots(
        len(tables), figsize=(12, 4 * len(tables)), layout="constrained", squeeze=False
    )
    for panel, (title, records) in zip(panels[:, 0], tables):
        _bars(panel, records)
        panel.set_title(title, loc="left")
        panel.set_ylabel(f"time, × {report.base(records)}'s")
        panel.legend(ncols=4, fontsize=9, frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(panel, records: list[dict]) -> None:
    workloads = list(dict.fromkeys(record["workload"] for record in records))
    contenders = list(dict.fromkeys(record["contender"] for record in records))
    width = 0.85 / len(contenders)
    for i, contender in enumerate(contenders):
        ratios = [record["ratio"] for record in records if record["contender"] == contender]
        places = [place + (i - (len(contenders) - 1) / 2) * width for place in range(len(ratios))]
        bars = panel.bar(places, ratios, width, label=contender, color=f"C{i}")
        panel.bar_label(bars, [f"{ratio:.1f}" for ratio in ratios], fontsize=6, rotation=90, padding=2)
    panel.axhline(1.0, color="black", linewidth=0.8)
    panel.set_yscale("log", base=2)
    panel.set_ylim(top=2 * max(record["ratio"] for record in records))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_xticks(range(len(workloads)), [name.replace("/", "\n") for name in workloads])
    panel.tick_params(axis="x", labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
