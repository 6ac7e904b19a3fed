"""Changes a module of a framework as soon as a user's script imports it, in the process that runs nothing else."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls `changes[name]` with the module `name` when that has been imported; to be put first in sys.meta_path."""

    def __init__(self, changes: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self.changes = changes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        change = self.changes.get(name)
        if change is None:
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, specs), None)
        if spec and spec.loader:
            exec_module = spec.loader.exec_module

            def exec_and_change(module: ModuleType) -> None:
                exec_module(module)
                change(sys.modules.get(name, module))  # a package may have put another module in its own place

            spec.loader.exec_module = exec_and_change  # type: ignore[method-assign]
        return spec
