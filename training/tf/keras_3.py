"""Rejects training by Keras 3, which cannot train on several hosts."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from byo_container.training.after_import import AfterImport


class Keras3Guard(AfterImport):
    """Lets a script import Keras 3, and makes its `fit` raise an error."""

    def __init__(self) -> None:
        super().__init__({"keras": _guard})


def _guard(keras: ModuleType) -> None:
    if str(getattr(keras, "__version__", "")).startswith("3."):
        keras.Model.fit = _reject


def _reject(*_: Any, **__: Any) -> None:
    raise RuntimeError(
        "Keras 3 cannot train on several hosts: every host would train alone; import Keras from TensorFlow "
        "(`from tensorflow import keras`), which gives tf-keras here"
    )
