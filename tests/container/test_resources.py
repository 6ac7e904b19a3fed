"""What a container may use, as its cgroup says it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from byo_container.container import resources


def cgroup(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("memory_max", "memory.max")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    return folder


def v1(folder: Path, quota: str = "-1", limit: str = "9223372036854771712") -> Path:
    for name in ("cpu", "memory"):
        (folder / name).mkdir()
    (folder / "cpu/cpu.cfs_quota_us").write_text(quota + "\n")
    (folder / "cpu/cpu.cfs_period_us").write_text("100000\n")
    (folder / "memory/memory.limit_in_bytes").write_text(limit + "\n")
    return folder


ALL_CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", ALL_CORES), ("50000 100000", 1), ("100000 100000", 1), ("150000 100000", min(2, ALL_CORES))],
)
def test_cores_of_cgroup_v2(tmp_path: Path, quota: str, expected: int) -> None:
    assert resources.cores(cgroup(tmp_path, cpu_max=quota)) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", ALL_CORES), ("50000", 1), ("150000", min(2, ALL_CORES))])
def test_cores_of_cgroup_v1(tmp_path: Path, quota: str, expected: int) -> None:
    assert resources.cores(v1(tmp_path, quota=quota)) == expected


def test_cores_without_a_cgroup(tmp_path: Path) -> None:
    assert resources.cores(tmp_path) == ALL_CORES


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       2048000 kB\nMemFree: 1 kB\nMemAvailable:    1024000 kB\n")
    return path


AVAILABLE = 1024000 * 1024


@pytest.mark.parametrize(("limit", "expected"), [("max", AVAILABLE), ("1000000", 1000000), (str(2**40), AVAILABLE)])
def test_memory_of_cgroup_v2(tmp_path: Path, meminfo: Path, limit: str, expected: int) -> None:
    assert resources.memory_bytes(cgroup(tmp_path, memory_max=limit), meminfo) == expected


@pytest.mark.parametrize(("limit", "expected"), [("9223372036854771712", AVAILABLE), ("1000000", 1000000)])
def test_memory_of_cgroup_v1(tmp_path: Path, meminfo: Path, limit: str, expected: int) -> None:
    assert resources.memory_bytes(v1(tmp_path, limit=limit), meminfo) == expected
