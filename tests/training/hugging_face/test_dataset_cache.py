"""What is computed from a dataset in a read-only channel is kept elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from byo_container.training.hugging_face import dataset_cache


class Dataset:
    """What is called of the real one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _get_cache_file_path(self, fingerprint: str) -> str:
        return str(self.folder / f"cache-{fingerprint}.arrow")


def test_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("datasets.arrow_dataset")
    module.Dataset = type("Dataset", (Dataset,), {"_get_cache_file_path": Dataset._get_cache_file_path})
    dataset_cache.change_arrow_dataset(module)
    dataset = module.Dataset(tmp_path)
    assert dataset._get_cache_file_path("ab") == str(tmp_path / "cache-ab.arrow")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to any folder
    moved = Path(dataset._get_cache_file_path("ab"))
    assert moved.name == "cache-ab.arrow"
    assert moved.parent != tmp_path
    assert moved.parent.is_dir()
