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
    module = importlib.util.module_from_spec(real)
    sys.modules[package] = module
    assert real.loader
    real.loader.exec_module(module)


def find_real(package: str) -> ModuleSpec | None:
    """The package that Python would find without FOLDER. A folder without __init__.py does not count: Python too uses a
    namespace package only where there is nothing else."""
    elsewhere = [entry for entry in sys.path if os.path.realpath(entry or os.getcwd()) != FOLDER]
    for finder in sys.meta_path:
        spec = finder.find_spec(package, elsewhere)
        if spec and spec.origin and spec.loader:
            return spec
    return None
