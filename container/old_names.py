"""The import paths of releases before `byo_container` was one package, for users' code and for models trained then.

`from container.handler import InputError` is the same as `from byo_container import InputError`, with a warning in the
log. A user's own package called container or handlers is always found first: the finder is the last on sys.meta_path.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from byo_container.container.log import log

# Old module → where its public names are now; None for a package that has none itself.
MODULES = {
    "container": None,
    "container.channels": "byo_container.container.channels",
    "container.checkpoints": "byo_container.container.checkpoints",
    "container.digest": "byo_container.container.files.digest",
    "container.failure": "byo_container.container.failure",
    "container.handler": "byo_container.container.handler",
    "container.hyperparameters": "byo_container.container.hyperparameters",
    "container.job": "byo_container.container.job",
    "container.log": "byo_container.container.log",
    "container.metrics": "byo_container.container.metrics",
    "container.paths": "byo_container.container.paths",
    "container.process": "byo_container.container.process.stop_flag",
    "container.progress": "byo_container.container.progress",
    "container.resources": "byo_container.container.resources",
    "container.writing": "byo_container.container.files.disk_errors",
    "handlers": None,
    "handlers.news": "byo_container.handlers.news",
    "handlers.translation": "byo_container.handlers.translation",
}
# Names of old modules that are elsewhere now, or are called otherwise: `module:name`.
MOVED = {
    "container.handler": {
        "MANIFEST": "byo_container.container.manifest:NAME",
        "write_atomically": "byo_container.container.files.atomic:write_atomically",
    },
    "container.hyperparameters": {"nearest": "byo_container.container.suggest:did_you_mean"},
    "container.writing": {"writing": "byo_container.container.files.disk_errors:disk_errors_explained"},
}
# The search path of our `container` and `handlers`. It distinguishes their submodules from those of a user's packages.
SEARCH_PATH = ["old names of byo_container"]


class OldNames(MetaPathFinder, Loader):
    """Imports an old module as a copy of the new one's names. The first one is a warning in the log."""

    warned = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in MODULES or (path is not None and list(path) != SEARCH_PATH):
            return None
        spec = ModuleSpec(name, self, is_package=True)
        spec.submodule_search_locations = SEARCH_PATH
        return spec

    def exec_module(self, module: ModuleType) -> None:
        if new := MODULES[module.__name__]:
            if not self.warned:
                self.warned = True
                log.warning(
                    "%s is an old name and will go away: the names for handlers are in byo_container now, as in "
                    "`from byo_container import Handler, InputError`; see docs/handlers.md",
                    module.__name__,
                )
            public = {name: value for name, value in vars(importlib.import_module(new)).items() if name[:2] != "__"}
            vars(module).update(public)
        for name, target in MOVED.get(module.__name__, {}).items():
            new, _, attribute = target.partition(":")
            setattr(module, name, getattr(importlib.import_module(new), attribute))


_finder = OldNames()


def install() -> MetaPathFinder:
    """Makes the old names importable in this process, and returns their finder."""
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
    return _finder


def is_old(spec: ModuleSpec | None) -> bool:
    """Whether a module was found, or loaded, by its old name."""
    return spec is not None and spec.loader is _finder
