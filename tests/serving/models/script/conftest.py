"""Fixtures of the tests of inference scripts."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from byo_container.serving.models.script.model import ScriptModel
from byo_container.serving.settings import Settings


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """`load(code, **settings)`: a model whose inference.py has this code, loaded."""

    def load(code: str, **settings: Any) -> ScriptModel:
        path = tmp_path / "inference.py"
        path.write_text(textwrap.dedent(code))
        model = ScriptModel(path, tmp_path, Settings(**settings))
        model.load()
        return model

    return load
