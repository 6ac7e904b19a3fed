"""Reads a fairseq checkpoint file. Nothing in it is run as code.

Checkpoints may come from anywhere. They are loaded with weights_only, so that no pickle in them runs. Of their settings
only those of the model are used, and the values that fairseq would `eval` are checked first.
"""

from __future__ import annotations

import argparse
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.handlers.translation import compat
from byo_container.handlers.translation.inference import expressions


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says about itself; None for what it does not say."""

    source: str | None
    target: str | None
    architecture: str
    dictionary_sizes: tuple[int | None, int | None]
    """The number of entries of the source and of the target dictionary."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: its weights, and the settings of its model and its task."""

    path: Path
    weights: dict[str, Any]
    model: argparse.Namespace
    task: argparse.Namespace

    @property
    def info(self) -> CheckpointInfo:
        """Languages and architecture."""
        tables = [self.weights.get(f"{side}.embed_tokens.weight") for side in ("encoder", "decoder")]
        source, target = (None if table is None else len(table) for table in tables)
        return CheckpointInfo(
            getattr(self.task, "source_lang", None),
            getattr(self.task, "target_lang", None),
            str(getattr(self.model, "arch", None) or getattr(self.model, "_name", None) or ""),
            (source, target),
        )

    def refuse_code(self) -> None:
        """Raises JobError for a model setting that is more than a value. fairseq evaluates settings such as
        encoder_layers, "[(256, 3)] * 4"."""
        for name, value in vars(self.model).items():
            for text in _texts(value):
                try:
                    expressions.check(text)
                except ValueError as error:
                    raise JobError(
                        f"{self.path}: the setting {name} is {text[:80]!r}, which fairseq would evaluate, and which "
                        f'{error}; it should be a plain value or a list such as "[(256, 3)] * 4"'
                    ) from None


def read(path: Path) -> Checkpoint:
    """Loads the checkpoint in `path`; tensors are mapped and read when they are used. Raises JobError where the file is
    damaged, is no checkpoint, or holds anything but weights and settings."""
    compat.install()
    import torch

    try:
        with path.open("rb") as stream:
            is_archive = stream.read(2) == b"PK"  # files from before PyTorch 1.6 are not, and cannot be mapped
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except pickle.UnpicklingError as error:
        if name := re.search(r"GLOBAL (\S+)", str(error)):
            raise JobError(
                f"{path} holds more than weights and settings ({name[1]}), and loading that could run code; "
                "save it again by fairseq 0.12.2"
            ) from error
        raise JobError(f"{path} cannot be loaded as a checkpoint, it is damaged or none") from error
    except Exception as error:  # a damaged archive fails in whatever part of PyTorch reads it first
        raise JobError(
            f"{path} cannot be loaded as a checkpoint, it may be damaged: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    if not isinstance(state, dict) or "model" not in state:
        raise JobError(f"{path} is no checkpoint of fairseq's: it should be a dictionary with the key 'model'")
    model, task = _settings(state, path)
    return Checkpoint(path, state["model"], model, task)


def _settings(state: dict[str, Any], path: Path) -> tuple[argparse.Namespace, argparse.Namespace]:
    """The settings of the model and of the task; checkpoints from before 2020 have one namespace for both."""
    if state.get("cfg"):
        parts = [state["cfg"].get(name) for name in ("model", "task")]
        model, task = (argparse.Namespace(**part) if isinstance(part, dict) else part for part in parts)
    else:
        model = task = state.get("args")
    if not isinstance(model, argparse.Namespace) or not isinstance(task, argparse.Namespace):
        raise JobError(f"{path} does not hold the settings ('cfg' or 'args') that its model was built with")
    return model, task


def _texts(value: Any) -> list[str]:
    """All texts in a value, also those inside of lists and dictionaries."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []
