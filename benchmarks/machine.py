"""Where the measurements come from."""

from __future__ import annotations

import datetime
import os
import platform


def detect() -> dict:
    """The machine, and how busy it was in the minute before."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu() or platform.processor() or "unknown CPU",
        "cpus": len(os.sched_getaffinity(0)),
        "isa": _isa(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def _isa() -> str:
    try:
        import softdot
    except ModuleNotFoundError:
        return "ISA not asked for"
    return softdot.isa()


def _cpu() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.split(":", 1)[1].strip() for line in lines if "model name" in line)
            return next(names, None)
    except OSError:
        return None
