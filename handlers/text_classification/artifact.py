"""The model folder: config.json, model.safetensors and the tokenizer's files, as `save_pretrained` writes them.

The labels' names are in config.json (id2label), the longest text in tokens in tokenizer_config.json (model_max_length).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from byo_container.container.files.disk_errors import UNFINISHED, disk_errors_explained


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the model into `folder`, in single precision. Raises JobError where it cannot be written: then the model
    that was there before stays."""
    folder.mkdir(parents=True, exist_ok=True)
    with disk_errors_explained(folder):
        building = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
        try:
            _write(model, tokenizer, building)
            for path in sorted(building.iterdir()):
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
            # All is written, so that no name is missing but for this moment.
            for path in sorted(building.iterdir()):
                path.replace(folder / path.name)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _write(model: Any, tokenizer: Any, folder: Path) -> None:
    from safetensors import SafetensorError

    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except SafetensorError as error:  # it hides the system's error in its message
        raise RuntimeError(str(error)) from error
    for path in folder.iterdir():
        path.chmod(0o644)
