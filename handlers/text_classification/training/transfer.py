"""A checkpoint on the first host → all hosts. Each host has a disk of its own, and only rank 0 writes checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from byo_container.container.files.disk_errors import disk_errors_explained
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification.training import checkpoints

BLOCK = 64 << 20


def share(found: Path | None, folder: Path, rank: Rank) -> Path | None:
    """The checkpoint that rank 0 has `found`, below the `folder` of this host. Every rank has to call it."""
    if rank.world_size == 1:
        return found
    mark = (found / checkpoints.COMPLETE).read_text(encoding="utf-8") if found else None
    name, mark = rank.gather((found.name if found else None, mark))[0]
    if name is None:
        return None
    path: Path = folder / name
    lacks = rank.local_rank == 0 and not _has(path, mark)
    if any(rank.gather(lacks)):
        writes = lacks and not rank.is_first
        with disk_errors_explained(folder):
            if writes:
                checkpoints.begin(folder, int(name.rpartition("-")[2]))
            _copy(path, rank, writes)
    return path


def _has(path: Path, mark: str) -> bool:
    """Whether this host has the same checkpoint."""
    try:
        same = (path / checkpoints.COMPLETE).read_text(encoding="utf-8") == mark
    except OSError:
        return False
    return same and not isinstance(checkpoints.read(path), str)


def _copy(path: Path, rank: Rank, writes: bool) -> None:
    files = rank.gather([(one.name, one.stat().st_size) for one in _in_order(path)] if rank.is_first else None)[0]
    for name, size in files:
        at = 0
        while at < size or at == 0:
            block = _block(path / name, at, min(BLOCK, size - at), rank)
            if writes:
                with (path / name).open("ab") as stream:
                    stream.write(block)
            at += BLOCK
    rank.gather(None)


def _in_order(path: Path) -> list[Path]:
    """The file that makes it complete comes last."""
    return sorted(path.iterdir(), key=lambda one: (one.name == checkpoints.COMPLETE, one.name))


def _block(path: Path, at: int, size: int, rank: Rank) -> bytes:
    """A part of rank 0's file."""
    import torch

    block: Any = torch.empty(size, dtype=torch.uint8)
    if rank.is_first:
        with path.open("rb") as stream:
            stream.seek(at)
            block = torch.frombuffer(bytearray(stream.read(size)), dtype=torch.uint8) if size else block
    torch.distributed.broadcast(block, src=0)
    return bytes(block.numpy())
