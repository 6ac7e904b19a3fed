"""Packages of SageMaker's own containers for an inference.py that imports them, where the real ones cannot be.

Scripts import a few names of the toolkit in whose container they once ran. Those that serving needs are here, a module
for each package. All other names and submodules, such as those for training, can be imported too, and raise an error
that explains this when they are called.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection

from byo_container.container.log import log
from byo_container.container.script_path.byo_container_finder import Finder, last_names

# By package: the module whose import shows whether the real one works, and ours, whose `modules` has its content.
PACKAGES = {
    "sagemaker_containers": ("beta.framework", "containers"),
    "sagemaker_inference": ("encoder", "inference"),
    "sagemaker_huggingface_inference_toolkit": ("decoder_encoder", "huggingface"),
    "sagemaker_xgboost_container": ("encoder", "xgboost_container"),
}


def provide(imported: Collection[str]) -> None:
    """Makes the PACKAGES that a script imports importable, each unless the real one works."""
    for package, (probe, module) in PACKAGES.items():
        if package in imported and package not in _finder.content and not _works(package, probe):
            content = importlib.import_module(f"{__name__}.{module}").modules()
            names = ", ".join(last_names(content))
            log.info("%s cannot be imported; byo-container stands in for its %s", package, names)
            _finder.add(package, content)


def _works(package: str, probe: str) -> bool:
    try:
        importlib.import_module(f"{package}.{probe}")
    except Exception as error:  # a package for another version of Python fails in many ways
        if isinstance(error, ModuleNotFoundError) and str(error.name).startswith(f"{package}."):
            return True  # the script's own, of that name, with what it needs
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        return False
    return True


_finder = Finder("what an inference.py needs to serve")
