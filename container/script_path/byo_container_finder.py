"""Imports modules that are made from dictionaries: the stand-ins for packages of SageMaker's toolkits."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

Content = dict[str, dict[str, Any]]
"""The names in each module, by the module's full name."""


class Finder(MetaPathFinder, Loader):
    """Imports stand-ins and any submodule of theirs. `purpose` describes the content of a stand-in, for errors."""

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self.content: dict[str, Content] = {}
        """By package."""

    def add(self, package: str, content: Content) -> None:
        """Makes a package importable, ahead of a real one with the same name."""
        self.content[package] = content
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        known = fullname.partition(".")[0] in self.content
        return ModuleSpec(fullname, self, is_package=True) if known else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        content = self.content[name.partition(".")[0]]
        known = tuple(content.get(name, ())) or last_names(content)

        def find(attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(f"{name} has no {attribute}")
            below = f"{name}.{attribute}"
            if any(f"{one}.".startswith(f"{below}.") for one in content):
                return importlib.import_module(below)
            return absent(below, self.purpose, known)

        module.__dict__.update(content.get(name, {}), __getattr__=find)


class Absent(type):
    """The class of placeholders for names that a stand-in does not have. A placeholder is a class, so that a script can
    import it, inherit from it, and use it in `except`. To call it, or an attribute of it, is an error."""

    _why: str
    _purpose: str

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(cls._why)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return absent(f"{cls.__module__}.{cls.__name__}.{name}", cls._purpose)


def absent(name: str, purpose: str, known: Collection[str] = ()) -> Any:
    """The placeholder for a name that a stand-in does not have; `known` are the names that it has."""
    package = name.partition(".")[0]
    why = f"{name} is no part of byo-container's stand-in for {package}, which has {purpose}"
    parent, _, last = name.rpartition(".")
    attributes = {"__module__": parent, "_why": f"{why}: {', '.join(known)}" if known else why, "_purpose": purpose}
    return Absent(last, (Exception,), attributes)


def last_names(modules: Collection[str]) -> list[str]:
    """The last parts of module names: `env` of `beta.framework.env`."""
    return list(dict.fromkeys(name.rpartition(".")[2] for name in modules))
