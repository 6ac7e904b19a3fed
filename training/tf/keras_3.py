"""Rejects training by Keras 3, which cannot train on several hosts."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any


class Keras3Guard(importlib.abc.MetaPathFinder):
    """Lets a script import Keras 3, and makes its `fit` raise an error. This process runs nothing but the script."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != "keras":
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, specs), None)
        if spec and spec.loader:
            exec_module = spec.loader.exec_module

            def exec_guarded(module: ModuleType) -> None:
                exec_module(module)
                if str(getattr(module, "__version__", "")).startswith("3."):
                    module.Model.fit = _reject

            spec.loader.exec_module = exec_guarded  # type: ignore[method-assign]
        return spec


def _reject(*_: Any, **__: Any) -> None:
    raise RuntimeError(
        "Keras 3 cannot train on several hosts: every host would train alone; import Keras from TensorFlow "
        "(`from tensorflow import keras`), which gives tf-keras here"
    )
