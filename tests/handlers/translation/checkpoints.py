"""Reads checkpoints, compares them, edits them."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Long enough to tell the tests apart from what a pickle of PyTorch's may do.
BOMB = "from pathlib import Path; Path({!r}).touch()"


def load_checkpoint(checkpoint: Path) -> Any:
    import torch

    torch.serialization.add_safe_globals([argparse.Namespace])  # which hold the settings of older networks
    return torch.load(checkpoint, map_location="cpu", weights_only=True)


def updates_of(checkpoint: Path) -> int:
    """How far a checkpoint has come."""
    return int(load_checkpoint(checkpoint)["optimizer_history"][-1]["num_updates"])


def parameters_of(checkpoint: Path) -> str:
    """A digest of a checkpoint's weights, its optimizer's state, and how far it has come."""
    import torch

    digest = hashlib.sha256(str(updates_of(checkpoint)).encode())
    state = load_checkpoint(checkpoint)
    tensors = {f"model.{name}": value for name, value in state["model"].items()}
    for number, moments in state["last_optimizer_state"]["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
    for name, value in sorted(tensors.items()):
        if "_float_tensor" not in name:  # a buffer that nobody fills
            digest.update(name.encode())
            digest.update(torch.as_tensor(value).numpy().tobytes())
    return digest.hexdigest()


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edits a checkpoint."""
    import torch

    state = torch.load(path, weights_only=True)
    edit(state)
    torch.save(state, path)


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (BOMB.format(str(self.mark)),)
