"""Peak memory between two moments: of the GPU, or where there is none of the process."""

from __future__ import annotations

import contextlib
from pathlib import Path

PROCESS = Path("/proc/self")


def reset(has_gpu: bool, process: Path = PROCESS) -> None:
    """A new peak begins. https://docs.kernel.org/filesystems/proc.html (clear_refs: 5 resets the peak)"""
    if has_gpu:
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):
        (process / "clear_refs").write_text("5")


def peak_bytes(has_gpu: bool, process: Path = PROCESS) -> int | None:
    """The peak since `reset`; None where the kernel does not tell."""
    if has_gpu:
        import torch

        return int(torch.cuda.max_memory_allocated())
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (process / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
