"""Where datasets keeps what a script computes from a dataset of a channel."""

from __future__ import annotations

import functools
import os
import tempfile
from types import ModuleType
from typing import Any

from byo_container.training.hugging_face.notes import say


def change_arrow_dataset(module: ModuleType) -> None:
    """datasets.arrow_dataset: `map` and `filter` write beside the dataset; where that is read-only, as a channel in
    FastFile mode, to a folder of this process."""
    dataset: Any = module.Dataset
    original = dataset._get_cache_file_path

    @functools.wraps(original)
    def cache_file_path(self: Any, fingerprint: str) -> str:
        path = str(original(self, fingerprint))
        folder, name = os.path.split(path)
        if os.access(folder, os.W_OK) or not os.path.isdir(folder):
            return path
        say(f"{folder} is read-only: what is computed from its dataset is kept in {_scratch().name}")
        return os.path.join(_scratch().name, name)

    dataset._get_cache_file_path = cache_file_path


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Removed at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="datasets-")
