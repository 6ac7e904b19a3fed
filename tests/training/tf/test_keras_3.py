"""Keras 3 can be imported, and cannot train."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from byo_container.training.tf.keras_3 import Keras3Guard


@pytest.fixture(autouse=True)
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package called keras, of the version in its file VERSION, behind the guard."""
    package = tmp_path / "keras"
    package.mkdir()
    lines = ["from pathlib import Path", "__version__ = Path(__file__).with_name('VERSION').read_text()"]
    (package / "__init__.py").write_text("\n".join([*lines, "class Model:", "    def fit(self): return 'fitted'"]))
    (package / "VERSION").write_text("3.4.1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [Keras3Guard(), *sys.meta_path])
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "keras"}
    yield
    sys.modules.pop("keras", None)
    sys.modules.update(others)


def fit() -> str:
    import keras

    return str(keras.Model().fit())


def test_fit_raises() -> None:
    with pytest.raises(RuntimeError, match="Keras 3 cannot train on several hosts"):
        fit()


def test_older_keras_trains(tmp_path: Path) -> None:
    (tmp_path / "keras/VERSION").write_text("2.15.0")
    assert fit() == "fitted"


def test_looking_for_keras_before_it_is_imported_changes_nothing() -> None:
    """As transformers does, to see whether it is installed."""
    for _ in range(2):
        assert importlib.util.find_spec("keras")
    with pytest.raises(RuntimeError, match="Keras 3 cannot train on several hosts"):
        fit()
