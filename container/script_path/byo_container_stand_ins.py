"""Provides stand-ins for packages that the Python of a training script does not have."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec

import byo_container_toolkit
from byo_container_finder import Finder

FOLDER = os.path.dirname(os.path.realpath(__file__))
CONTENT = {
    "sagemaker_training": byo_container_toolkit.sagemaker_training,
    "sagemaker_containers": byo_container_toolkit.sagemaker_containers,
    # For scripts that both train and serve, and import it at the top; `serve` has a working stand-in of its own.
    "sagemaker_inference": byo_container_toolkit.sagemaker_inference,
}
_finder = Finder("what a training script reads of its job; to have more, install the package itself")


def stand_in(package: str) -> None:
    """Replaces the module that calls this by the real package, or else by its stand-in."""
    real = find_real(package)
    if real is None:
        _finder.add(package, CONTENT[package]())
        del sys.modules[package]
        importlib.import_module(package)
        return
    replace(package, real)


def stand_in_old_name(package: str) -> None:
    """Replaces the module that calls this by the user's own package, which may be a namespace package, or else by the
    names that byo-container had there; see container/old_names.py."""
    real = find_real(package, namespace=True)
    if real is None:
        try:
            from byo_container.container import old_names
        except ImportError:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package) from None
        real = old_names.install().find_spec(package, None)
    assert real
    replace(package, real)


def replace(package: str, real: ModuleSpec) -> None:
    """Makes the module of `real` the package, in the middle of the import of ours."""
    module = importlib.util.module_from_spec(real)
    sys.modules[package] = module
    if real.loader:  # a namespace package has none
        real.loader.exec_module(module)


def find_real(package: str, namespace: bool = False) -> ModuleSpec | None:
    """The package that Python would find without FOLDER. A folder without __init__.py counts only with `namespace`:
    Python too uses a namespace package only where there is nothing else."""
    elsewhere = [entry for entry in sys.path if os.path.realpath(entry or os.getcwd()) != FOLDER]
    for finder in sys.meta_path:
        spec = finder.find_spec(package, elsewhere)
        if spec and (namespace or (spec.origin and spec.loader)):
            return spec
    return None
