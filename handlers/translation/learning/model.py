"""What a job leaves in the model folder: everything that serving needs, and nothing else."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from byo_container.container.manifest import NAME as HANDLER_MANIFEST
from byo_container.handlers.translation import bundle
from byo_container.handlers.translation.bundle import Bundle
from byo_container.handlers.translation.learning import checkpoints
from byo_container.handlers.translation.learning.loop import MEASURES
from byo_container.handlers.translation.learning.settings import Settings
from byo_container.handlers.translation.preparing.prepared import Prepared
from byo_container.handlers.translation.text import CODES

KEPT = {HANDLER_MANIFEST, "code"}  # which process 1 puts there


def leave(
    checkpoint: Path, data: Prepared, settings: Settings, validations: Sequence[dict[str, float]], folder: Path
) -> None:
    """Fills the model folder from the best checkpoint; the manifest comes last, when the rest is there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / bundle.MANIFEST).unlink(missing_ok=True)
    facts = checkpoints.export(checkpoint, folder / bundle.CHECKPOINT)
    figures = next((found for found in reversed(validations) if found["update"] == facts["updates"]), {})
    made = Bundle(
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
    _remove_all_but({bundle.MANIFEST, *made.files(), *KEPT}, folder)


def _remove_all_but(names: set[str], folder: Path) -> None:
    """What an older run left, or a killed one."""
    for path in folder.iterdir():
        if path.name not in names and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()
