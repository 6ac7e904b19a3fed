"""How many cores and how much memory this container may use, and how many workers follow from it."""

from __future__ import annotations

import math
import os
from pathlib import Path

from serving import devices

CGROUP = Path("/sys/fs/cgroup")
# A framework such as TensorFlow takes about this much before it has loaded any model.
FRAMEWORK_BYTES = 600 * 1024 * 1024


def cores(cgroup: Path = CGROUP) -> int:
    """Cores by affinity and by the container's CPU quota (rounded up), at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = _words(cgroup / "cpu.max") or [
        *_words(cgroup / "cpu/cpu.cfs_quota_us"),
        *_words(cgroup / "cpu/cpu.cfs_period_us"),
    ]
    if len(quota) == 2 and quota[0].isdigit() and int(quota[1]) > 0:
        allowed = min(allowed, math.ceil(int(quota[0]) / int(quota[1])))
    return max(1, allowed)


def memory_bytes(cgroup: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int:
    """What may be used: the container's limit, or what the machine has available where that is less."""
    available = next(
        int(line.split()[1]) * 1024 for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:")
    )
    limit = _words(cgroup / "memory.max") or _words(cgroup / "memory/memory.limit_in_bytes")
    return min(available, int(limit[0])) if limit and limit[0].isdigit() else available


def default_workers(model_bytes: int) -> int:
    """A worker a graphics processor, or else a core, but never more than fit in memory with their models: at least 1.

    A model is counted twice, as it stands on disk and as what it takes while it is being loaded.
    """
    return max(1, min(len(devices.visible()) or cores(), memory_bytes() // (FRAMEWORK_BYTES + 2 * model_bytes)))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
