"""The model folder: config.json, model.safetensors and the tokenizer's files, as `save_pretrained` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the model into `folder`. Raises JobError where it cannot be written."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
