"""Changing a module when it is imported."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from byo_container.training.after_import import AfterImport
from tests.support.tree import write_files

REPLACES_ITSELF = "import sys, types\nsys.modules[__name__] = types.ModuleType(__name__)"


@pytest.mark.parametrize("text", ["", REPLACES_ITSELF])
def test_module_is_changed_once_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    write_files(tmp_path, {"older_library/__init__.py": text, "older_library/other.py": ""})
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[ModuleType] = []
    monkeypatch.setattr(sys, "meta_path", [AfterImport({"older_library": seen.append}), *sys.meta_path])
    assert not seen
    module = importlib.import_module("older_library")
    try:
        assert seen == [module]
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "older_library"]:
            del sys.modules[name]
