"""Packages of SageMaker's own containers for an inference.py that imports them, where the real ones cannot be.

Scripts import a few names of the toolkit in whose container they once ran. What serving needs of them is here, a module
each for a package. All other names and submodules, such as those for training, can be imported too, and say what they
are when they are called.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from container.log import log

# By package: the module by which it is known whether the real one works, and ours, whose `modules` has its content.
PACKAGES = {
    "sagemaker_containers": ("beta.framework", "containers"),
    "sagemaker_inference": ("encoder", "inference"),
    "sagemaker_huggingface_inference_toolkit": ("decoder_encoder", "huggingface"),
    "sagemaker_xgboost_container": ("encoder", "xgboost_container"),
}


def provide(imported: Collection[str]) -> None:
    """Makes those of PACKAGES importable that a script imports, each unless the real one is."""
    for package, (probe, module) in PACKAGES.items():
        if package in imported and package not in _finder.content and not _works(package, probe):
            content = importlib.import_module(f"{__name__}.{module}").modules()
            log.info("%s cannot be imported; byo-container stands in for its %s", package, _last_names(content))
            _finder.content[package] = content
            if _finder not in sys.meta_path:
                sys.meta_path.insert(0, _finder)


def _works(package: str, probe: str) -> bool:
    try:
        importlib.import_module(f"{package}.{probe}")
    except Exception as error:  # what is installed for another Python fails in many ways
        if isinstance(error, ModuleNotFoundError) and str(error.name).startswith(f"{package}."):
            return True  # the script's own, of that name, with what it needs
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        return False
    return True


class Finder(MetaPathFinder, Loader):
    """Imports stand-ins, whatever submodule of theirs is named."""

    def __init__(self) -> None:
        self.content: dict[str, dict[str, dict[str, Any]]] = {}
        """By package: the names in each of its modules."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        known = fullname.partition(".")[0] in self.content
        return ModuleSpec(fullname, self, is_package=True) if known else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        content = self.content[name.partition(".")[0]]
        known = tuple(content.get(name, ())) or _last_names(content).split(", ")

        def find(attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(f"{name} has no {attribute}")
            below = f"{name}.{attribute}"
            if any(f"{one}.".startswith(f"{below}.") for one in content):
                return importlib.import_module(below)
            return absent(below, known)

        module.__dict__.update(content.get(name, {}), __getattr__=find)


_finder = Finder()


class Absent(type):
    """What stands for a name that a stand-in lacks: a class, so that a script can import it, inherit from it, and name
    it after `except`. To call it, or what is below it, is an error."""

    _why: str

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(cls._why)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return absent(f"{cls.__module__}.{cls.__name__}.{name}", ())


def absent(name: str, known: Collection[str]) -> Any:
    package = name.partition(".")[0]
    why = f"{name} is no part of byo-container's stand-in for {package}, which has what an inference.py needs to serve"
    parent, _, last = name.rpartition(".")
    return Absent(last, (Exception,), {"__module__": parent, "_why": f"{why}: {', '.join(known)}" if known else why})


def _last_names(modules: Collection[str]) -> str:
    return ", ".join(name.rpartition(".")[2] for name in modules)
