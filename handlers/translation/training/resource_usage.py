"""Readings of a host's resources: bytes on the network, utilisation of GPUs."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NETWORK = Path("/proc/net/dev")
LOOPBACK = "lo"
SAMPLE_EVERY_S = 5.0
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")


def network_bytes(interface: str, table: Path = NETWORK) -> tuple[int, int]:
    """The bytes that `interface` has sent and received since it is up; those of all interfaces but the loopback where
    there is none of that name. https://docs.kernel.org/filesystems/proc.html (net/dev)"""
    counts = {}
    for line in table.read_text().splitlines()[2:]:
        name, _, columns = line.partition(":")
        fields = columns.split()
        counts[name.strip()] = int(fields[8]), int(fields[0])
    if interface in counts:
        return counts[interface]
    others = [pair for name, pair in counts.items() if name != LOOPBACK]
    return sum(sent for sent, _ in others), sum(received for _, received in others)


def gpu_utilisation() -> float | None:
    """The share of time with a running kernel, 0 to 1, the mean of this host's GPUs; None where nvidia-smi does not
    report it."""
    if not shutil.which(NVIDIA_SMI[0]):
        return None
    try:
        output = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=SAMPLE_EVERY_S, check=True).stdout
        percents = [float(line) for line in output.split()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return sum(percents) / len(percents) / 100 if percents else None


@contextmanager
def sampling_gpus(is_enabled: Callable[[], bool], add: Callable[[float], None]) -> Iterator[None]:
    """Calls `add` with `gpu_utilisation` every 5 s from a thread, while `is_enabled`."""
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_EVERY_S):
            if is_enabled() and (share := gpu_utilisation()) is not None:
                add(share)

    thread = threading.Thread(target=sample, name="gpu-utilisation", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
