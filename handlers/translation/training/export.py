"""What a job leaves in the model folder: everything that serving needs, and nothing else."""

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
from byo_container.handlers.translation.preprocessing.prepared import Prepared
from byo_container.handlers.translation.text import CODES
from byo_container.handlers.translation.training import checkpoints
from byo_container.handlers.translation.training.loop import MEASURES

KEPT = {HANDLER_MANIFEST, "code"}  # which process 1 puts there


def leave(
    checkpoint: Path, data: Prepared, settings: TrainingSettings, validations: Sequence[dict[str, float]], folder: Path
) -> None:
    """Fills the model folder from the best checkpoint; the manifest comes last, when the rest is there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / artifact.MANIFEST).unlink(missing_ok=True)
    facts = checkpoints.export(checkpoint, folder / artifact.CHECKPOINT)
    figures = next((found for found in reversed(validations) if found["update"] == facts["updates"]), {})
    made = ModelManifest(
        source=data.direction.source,
        target=data.direction.target,
        codes=CODES if data.codes else None,
        **asdict(data.conventions),
        architecture=settings.architecture,
        longest_source=data.longest_source,
        generation=dict(settings.generation),
        facts={
            "updates": facts["updates"],
            **{f"valid_{name}": figures[name] for name in MEASURES if name in figures},
            **{name: data.facts[name] for name in ("train_lines", "train_megabytes") if name in data.facts},
            "fairseq": version("fairseq"),
            "torch": version("torch"),
        },
    )
    for language in (made.source, made.target):
        shutil.copyfile(data.dictionary(language), folder / made.dictionary(language))
    if data.codes:
        shutil.copyfile(data.codes, folder / CODES)
    made.write(folder)
    _remove_all_but({artifact.MANIFEST, *made.files(), *KEPT}, folder)


def _remove_all_but(names: set[str], folder: Path) -> None:
    """What an older run left, or a killed one."""
    for path in folder.iterdir():
        if path.name not in names and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()
