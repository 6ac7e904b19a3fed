"""Many models with code of their own in one process: each finds its own modules, whatever they are called.

Two models may both bring an `inference.py` and a `helper.py`, of which a process knows one by that name. Here each
model's modules are its own. `sys.modules` shows a model's code, for as long as it imports, the modules of that model:
an import, also a late one inside a function or by pickle, puts the model's own there first. Whose an import is, is said
by its thread: one that a model starts by itself should have imported before.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from container.handler import refuse_our_names

_current = threading.local()  # .code: the ModelCode for which a thread works
_lock = threading.RLock()  # for sys.modules and sys.path while a model's own module is imported


class ModelCode:
    """The modules that lie in one model's folders, best folder first. Raises JobError where a folder holds one with a
    name of ours."""

    def __init__(self, folders: list[Path]) -> None:
        refuse_our_names(folders)
        _install()
        self._folders = [str(folder) for folder in folders]
        self._names = frozenset(name for folder in folders for name in _top_level(folder))
        self._modules: dict[str, ModuleType] = {}
        self._in_front: set[str] = set()

    @contextmanager
    def active(self) -> Iterator[None]:
        """What this thread imports meanwhile is looked for in this model's folders first."""
        before = getattr(_current, "code", None)
        _current.code = self
        try:
            yield
        finally:
            _current.code = before

    def forget(self) -> None:
        """Lets go of the modules."""
        with _lock:
            for name, module in self._modules.items():
                if sys.modules.get(name) is module:
                    del sys.modules[name]
            self._modules.clear()

    def owns(self, name: str) -> bool:
        return name.partition(".")[0] in self._names

    @contextmanager
    def in_front(self, name: str) -> Iterator[None]:
        """`sys.modules` and `sys.path` as this model is to find them while it imports `name`."""
        top = name.partition(".")[0]
        with _lock:
            if top in self._in_front:  # a package whose own modules import each other
                yield
                return
            for known in [known for known in list(sys.modules) if known.partition(".")[0] == top]:
                if sys.modules[known] is not self._modules.get(known):
                    del sys.modules[known]
            sys.modules.update((k, module) for k, module in self._modules.items() if k.partition(".")[0] == top)
            sys.path[0:0] = self._folders
            self._in_front.add(top)
            try:
                yield
            finally:
                self._in_front.discard(top)
                for folder in self._folders:
                    sys.path.remove(folder)
                self._keep()

    def _keep(self) -> None:
        for name, module in list(sys.modules.items()):
            if self.owns(name) and str(getattr(module, "__file__", None) or "").startswith(tuple(self._folders)):
                self._modules[name] = module


def _top_level(folder: Path) -> Iterator[str]:
    """The names under which something in a folder is imported. Those of the standard library stay its own: all of
    the process uses it. A folder without __init__.py gives way to an installed package, as always in Python."""
    for path in folder.iterdir():
        name = path.name.partition(".")[0]
        if name in sys.stdlib_module_names:
            continue
        package = path.is_dir() and ((path / "__init__.py").exists() or (name.isidentifier() and not _found(name)))
        if package or path.suffix in (".py", ".so"):
            yield name


def _found(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def importing(name: str) -> AbstractContextManager[None]:
    """For who makes a module of that name without an import: as if this thread imported it."""
    code: ModelCode | None = getattr(_current, "code", None)
    return code.in_front(name) if code and code.owns(name) else nullcontext()


def _install() -> None:
    """Once for a process: imports ask first whose thread it is."""
    if getattr(builtins.__import__, "__module__", "") == __name__:
        return
    original_import, original_import_module = builtins.__import__, importlib.import_module

    def import_(
        name: str,
        globals: Any = None,  # noqa: A002
        locals: Any = None,  # noqa: A002
        fromlist: Any = (),
        level: int = 0,
    ) -> ModuleType:
        # A relative import goes by the package of the module that imports.
        with importing(str((globals or {}).get("__package__")) if level else name):
            return original_import(name, globals, locals, fromlist, level)

    def import_module(name: str, package: str | None = None) -> ModuleType:
        with importing(str(package) if name.startswith(".") else name):
            return original_import_module(name, package)

    builtins.__import__ = import_
    importlib.import_module = import_module
