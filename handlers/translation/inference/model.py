"""A checkpoint of fairseq's → the network, ready to translate. Nothing in it is run as code.

Checkpoints may come from anywhere. They are read with weights_only, so that no pickle of theirs runs; of their
settings only the network's own are used, and those that fairseq would `eval` are looked at before.
"""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.handlers.translation import compat
from byo_container.handlers.translation.artifact import Bundle, inside
from byo_container.handlers.translation.inference import expressions


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says of itself; None where it does not."""

    source: str | None
    target: str | None
    architecture: str
    sizes: tuple[int | None, int | None]
    """Entries of the dictionaries, of the source and of the target."""


@dataclass(frozen=True)
class Network:
    """The network in evaluation mode, on its device, and what belongs to it."""

    model: Any
    source: Any
    """fairseq's Dictionary of the source language."""
    target: Any
    left_pad: bool
    """Whether shorter sentences of a batch are filled up on the left, as they were in training."""
    longest: int
    """The most pieces that it reads at once, the end of the sentence counted."""
    device: Any


class _Task:
    """The part of a fairseq task that building a network asks for."""

    def __init__(self, source: Any, target: Any) -> None:
        self.source_dictionary, self.target_dictionary = source, target


def facts(path: Path) -> Facts:
    """The languages and the architecture that the checkpoint in `path` was trained with."""
    state = _state(path)
    model, task = _settings(state, path)
    tables = (state["model"].get(f"{side}.embed_tokens.weight") for side in ("encoder", "decoder"))
    source, target = (None if table is None else len(table) for table in tables)
    return Facts(
        getattr(task, "source_lang", None),
        getattr(task, "target_lang", None),
        str(getattr(model, "arch", None) or getattr(model, "_name", None) or ""),
        (source, target),
    )


def load(folder: Path, bundle: Bundle) -> Network:
    """The network of `bundle`. Raises JobError that names the file that is missing, damaged, or not to be trusted."""
    compat.install()
    import torch
    from fairseq import models
    from fairseq.data import Dictionary

    path = inside(folder, bundle.checkpoint)
    state = _state(path)
    settings, task = _settings(state, path)
    _refuse_code(settings, path)
    source, target = (
        _dictionary(Dictionary, inside(folder, bundle.dictionary(language)))
        for language in (bundle.source, bundle.target)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fairseq's use of what PyTorch will drop one day
        try:
            model = models.build_model(_for_building(settings), _Task(source, target))
            model.load_state_dict(state["model"], strict=True, model_cfg=settings)
        except Exception as error:  # whatever of fairseq meets first what does not fit
            raise JobError(
                f"{path} does not make a network with {bundle.dictionary(bundle.source)} ({len(source)} pieces) and "
                f"{bundle.dictionary(bundle.target)} ({len(target)}); they should be those it was trained with: "
                f"{type(error).__name__}: {str(error)[:400]}"
            ) from error
        model.make_generation_fast_(beamable_mm_beam_size=1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    longest = min(model.encoder.max_positions(), getattr(task, "max_source_positions", None) or 1 << 30)
    return Network(model, source, target, bool(getattr(task, "left_pad_source", True)), int(longest), device)


def _state(path: Path) -> dict[str, Any]:
    """The checkpoint as it lies in the file, its tensors not read before they are used."""
    compat.install()
    import torch

    try:
        with path.open("rb") as stream:
            archive = stream.read(2) == b"PK"  # older files than PyTorch 1.6 are none, and cannot be mapped
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            raise JobError(
                f"{path} holds more than weights and settings ({found[1]}), and loading that could run code; "
                "save it again by fairseq 0.12.2"
            ) from error
        raise JobError(f"{path} cannot be loaded as a checkpoint, it is damaged or none") from error
    except Exception as error:  # a damaged archive fails in whatever part of PyTorch meets it first
        raise JobError(
            f"{path} cannot be loaded as a checkpoint, it may be damaged: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    if not isinstance(state, dict) or "model" not in state:
        raise JobError(f"{path} is no checkpoint of fairseq's: it should be a dictionary with the key 'model'")
    return state


def _settings(state: dict[str, Any], path: Path) -> tuple[Any, Any]:
    """The network's and the task's settings: two namespaces, the same one in checkpoints of before 2020."""
    if state.get("cfg"):
        parts = [state["cfg"].get(name) for name in ("model", "task")]
        namespaces = [argparse.Namespace(**part) if isinstance(part, dict) else part for part in parts]
    else:
        namespaces = [state.get("args")] * 2
    if not all(isinstance(part, argparse.Namespace) for part in namespaces):
        raise JobError(f"{path} does not hold the settings ('cfg' or 'args') that its network was built with")
    return namespaces[0], namespaces[1]


def _refuse_code(settings: argparse.Namespace, path: Path) -> None:
    """fairseq evaluates settings such as encoder_layers, "[(256, 3)] * 4": no more than that may stand in them."""
    for name, value in vars(settings).items():
        for text in _texts(value):
            try:
                expressions.check(text)
            except ValueError as error:
                raise JobError(
                    f"{path}: the setting {name} is {text[:80]!r}, which fairseq would evaluate, and which {error}; it "
                    'should be a plain value or a list such as "[(256, 3)] * 4"'
                ) from None


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _for_building(settings: argparse.Namespace) -> Any:
    """What fairseq builds a network from: settings of its dataclasses in omegaconf's form, others as they are.
    Pre-trained embeddings are not read again: they would lie outside the folder, and the checkpoint has the weights."""
    values = vars(settings) | {name: None for name in vars(settings) if name.endswith("_embed_path")}
    if "_name" not in values or "arch" in values:
        return argparse.Namespace(**values)
    from omegaconf import OmegaConf

    return OmegaConf.create(values)


def _dictionary(kind: Any, path: Path) -> Any:
    try:
        return kind.load(str(path))
    except Exception as error:  # ValueError, UnicodeError, RuntimeError for a word that is there twice
        raise JobError(
            f"{path} is no dictionary of fairseq's, lines of a piece and a number: {type(error).__name__}: {error}"
        ) from error
