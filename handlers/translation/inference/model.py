"""Builds the model of a checkpoint, ready to translate."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.handlers.translation import compat
from byo_container.handlers.translation.artifact import ModelManifest, path_inside
from byo_container.handlers.translation.inference import checkpoint_file


@dataclass(frozen=True)
class TranslationModel:
    """fairseq's model in evaluation mode, on its device, with its dictionaries."""

    model: Any
    source: Any
    """fairseq's Dictionary of the source language."""
    target: Any
    left_pad: bool
    """Whether the shorter sentences of a batch are padded on the left, as they were in training."""
    max_tokens: int
    """The longest input in subword tokens, the end-of-sentence token included."""
    device: Any


class _Task:
    """The part of a fairseq task that building a model needs."""

    def __init__(self, source: Any, target: Any) -> None:
        self.source_dictionary, self.target_dictionary = source, target


def load(folder: Path, manifest: ModelManifest) -> TranslationModel:
    """Loads the model that `manifest` describes. Raises JobError that names the file that is missing, damaged, or
    not to be trusted."""
    compat.install()
    import torch
    from fairseq import models
    from fairseq.data import Dictionary

    checkpoint = checkpoint_file.read(path_inside(folder, manifest.checkpoint))
    checkpoint.refuse_code()
    source, target = (
        _dictionary(Dictionary, path_inside(folder, manifest.dictionary(language)))
        for language in (manifest.source, manifest.target)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fairseq calls what PyTorch has deprecated
        try:
            model = models.build_model(_build_settings(checkpoint.model), _Task(source, target))
            model.load_state_dict(checkpoint.weights, strict=True, model_cfg=checkpoint.model)
        except Exception as error:  # a mismatch fails in whatever part of fairseq meets it first
            raise JobError(
                f"{checkpoint.path} does not make a model with {manifest.dictionary(manifest.source)} "
                f"({len(source)} subword tokens) and {manifest.dictionary(manifest.target)} ({len(target)}); they "
                f"should be those it was trained with: {type(error).__name__}: {str(error)[:400]}"
            ) from error
        model.make_generation_fast_(beamable_mm_beam_size=1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    task = checkpoint.task
    max_tokens = min(model.encoder.max_positions(), getattr(task, "max_source_positions", None) or 1 << 30)
    left_pad = bool(getattr(task, "left_pad_source", True))
    return TranslationModel(model, source, target, left_pad, int(max_tokens), device)


def _build_settings(settings: argparse.Namespace) -> Any:
    """The settings in the form that fairseq builds a model from: omegaconf for its dataclasses, else a namespace.
    Pretrained embeddings are not read again: the checkpoint has the weights, and the files would lie outside the
    folder."""
    values = vars(settings) | {name: None for name in vars(settings) if name.endswith("_embed_path")}
    if "_name" not in values or "arch" in values:
        return argparse.Namespace(**values)
    from omegaconf import OmegaConf

    return OmegaConf.create(values)


def _dictionary(kind: Any, path: Path) -> Any:
    try:
        return kind.load(str(path))
    except Exception as error:  # ValueError, UnicodeError, RuntimeError for a duplicate entry
        raise JobError(
            f"{path} is no dictionary of fairseq's, lines of a subword token and a number: "
            f"{type(error).__name__}: {error}"
        ) from error
