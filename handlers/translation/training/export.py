"""Fills the model folder: everything that serving needs, and nothing else."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from byo_container.container.manifest import NAME as HANDLER_MANIFEST
from byo_container.handlers.translation import artifact
from byo_container.handlers.translation.artifact import ModelManifest
from byo_container.handlers.translation.hyperparameters import TrainingSettings
from byo_container.handlers.translation.preprocessing.prepared import PreparedText
from byo_container.handlers.translation.text import CODES
from byo_container.handlers.translation.training import checkpoints
from byo_container.handlers.translation.training.state import VALIDATION_METRICS

KEPT = {HANDLER_MANIFEST, "code"}  # written by process 1


def export_model(
    checkpoint: Path,
    data: PreparedText,
    settings: TrainingSettings,
    validations: Sequence[dict[str, float]],
    folder: Path,
) -> None:
    """Fills the model folder from the best checkpoint. The manifest is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / artifact.MANIFEST).unlink(missing_ok=True)
    facts = checkpoints.export(checkpoint, folder / artifact.CHECKPOINT)
    metrics = next((one for one in reversed(validations) if one["update"] == facts["updates"]), {})
    manifest = ModelManifest(
        source=data.direction.source,
        target=data.direction.target,
        codes=CODES if data.codes else None,
        **asdict(data.conventions),
        architecture=settings.architecture,
        longest_source=data.longest_source,
        generation=dict(settings.generation),
        facts={
            "updates": facts["updates"],
            **{f"valid_{name}": metrics[name] for name in VALIDATION_METRICS if name in metrics},
            **{name: data.facts[name] for name in ("train_lines", "train_megabytes") if name in data.facts},
            "fairseq": version("fairseq"),
            "torch": version("torch"),
        },
    )
    for language in (manifest.source, manifest.target):
        shutil.copyfile(data.dictionary(language), folder / manifest.dictionary(language))
    if data.codes:
        shutil.copyfile(data.codes, folder / CODES)
    manifest.write(folder)
    _remove_all_but({artifact.MANIFEST, *manifest.files(), *KEPT}, folder)


def _remove_all_but(names: set[str], folder: Path) -> None:
    """Removes the files of an earlier run, or of one that was killed."""
    for path in folder.iterdir():
        if path.name not in names and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()
