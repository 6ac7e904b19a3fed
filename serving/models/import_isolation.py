"""Several models with code of their own in one process: each imports its own modules, whatever their names.

Two models may both bring a `helper.py`, but `sys.modules` has one place for that name. So each model has a package of
its own (`_model_7`), and its modules are imported as members of it (`_model_7.helper`), by Python's usual machinery and
under Python's own locks. The model's code stays as it is; names are translated when they are imported:

* An import statement belongs to the module that it stands in: `import helper` imports the model's own helper in a
  model's module, and the usual one in all other modules.
* A call of `importlib.import_module` or `__import__`, and a name in a pickle, belong to the active import scope: the
  model for which the thread computes.

Neither `sys.path` nor any other module in `sys.modules` is changed, at any time.

`__import__`, `importlib.import_module` and pickle are replaced for the whole process, which needs a reason. A finder on
`sys.meta_path` is not enough: Python looks into `sys.modules` first, and the name has one place there. Builtins of its
own for each model's modules, with another `__import__` in them, would do for import statements, but not for compiled
modules (they import by the process's builtins), nor for names that a library adds to the builtins later, nor for
calls by shared code on behalf of a model. A process for each model would load each framework once for each model.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import io
import itertools
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
    all_suffixes,
)
from pathlib import Path
from types import ModuleType
from typing import Any

from byo_container.container import old_names

PREFIX = "_model_"

_current: ContextVar[ModelCode | None] = ContextVar("model_code", default=None)  # the active import scope
_packages: dict[str, ModelCode] = {}  # by the names of their packages
_numbers = itertools.count(1)


class ModelCode:
    """The modules in one model's folders; the first folder wins. Raises OSError for a folder that cannot be read."""

    def __init__(self, folders: list[Path]) -> None:
        _install()
        self._names = {name for folder in folders for name in _top_level(folder)}
        self.package = f"{PREFIX}{next(_numbers)}"
        spec = ModuleSpec(self.package, None, is_package=True)
        spec.submodule_search_locations = [str(folder) for folder in folders]
        sys.modules[self.package] = importlib.util.module_from_spec(spec)
        _packages[self.package] = self

    @contextmanager
    def active(self) -> Iterator[None]:
        """The active import scope: what this thread imports by calls, or unpickles, is searched in this model first."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def unload(self) -> None:
        """Removes the model's modules."""
        _packages.pop(self.package, None)
        for name in list(sys.modules):
            if name == self.package or name.startswith(f"{self.package}."):
                sys.modules.pop(name, None)

    def owns(self, name: str) -> bool:
        return name.partition(".")[0] in self._names

    def adopt(self, name: str) -> str:
        """Adds a name to the model's own, unless the standard library has it, and returns its full form."""
        if name not in sys.stdlib_module_names:
            self._names.add(name)
        return f"{self.package}.{name}"

    def import_(self, name: str, fromlist: Sequence[str] | None) -> ModuleType:
        """`__import__` for one of the model's own names."""
        with self._errors_as_written():
            module = _import(f"{self.package}.{name}", None, None, fromlist or (), 0)
            return module if fromlist else sys.modules[f"{self.package}.{name.partition('.')[0]}"]

    def import_module(self, name: str) -> ModuleType:
        """`importlib.import_module` for one of the model's own names."""
        with self._errors_as_written():
            return _import_module(f"{self.package}.{name}")

    @contextmanager
    def _errors_as_written(self) -> Iterator[None]:
        """Errors have the name of a missing module as the model's code spells it."""
        try:
            yield
        except ModuleNotFoundError as error:
            error.msg = str(error.msg).replace(f"{self.package}.", "")
            error.name = error.name and error.name.removeprefix(f"{self.package}.")
            error.args = (error.msg,)
            raise


def spec_of(path: Path) -> ModuleSpec | None:
    """The spec of a file that is imported by its path: under the file's own name, or as a module of the model whose
    import scope is active. A file with the name of a module of the standard library gets another name, because the
    whole process uses that module."""
    code = _current.get()
    if code is None:
        name = f"inference_script_{path.stem}" if path.stem in sys.stdlib_module_names else path.stem
        return importlib.util.spec_from_file_location(name, path)
    name = code.adopt(path.stem)
    loader = SourceOnly(name, str(path)) if path.suffix in SOURCE_SUFFIXES else None
    return importlib.util.spec_from_file_location(name, path, loader=loader)


def _top_level(folder: Path) -> Iterator[str]:
    """The names of the modules in a folder, without those of the standard library, which the whole process uses. A
    folder without __init__.py gives way to an installed package, as always in Python."""
    for path in folder.iterdir():
        name = path.name.partition(".")[0]
        if name in sys.stdlib_module_names:
            continue
        if path.is_dir():
            package = any((path / f"__init__{suffix}").exists() for suffix in all_suffixes())
            if package or (path.name.isidentifier() and not _found(name)):
                yield name
        elif path.name.endswith(tuple(all_suffixes())):
            yield name


def _found(name: str) -> bool:
    try:
        spec = sys.modules[name].__spec__ if name in sys.modules else importlib.util.find_spec(name)
        return (name in sys.modules or spec is not None) and not old_names.is_old(spec)
    except (ImportError, ValueError):
        return False


class SourceOnly(SourceFileLoader):
    """Always compiles the source of a module. Byte code is not written, for the model's folder belongs to the platform.
    Nor is it read: only the source's size and its time in whole seconds distinguish it from an older version's."""

    def path_stats(self, path: Any) -> Mapping[str, Any]:
        raise OSError("no byte code")


class ModelFinder:
    """Finds the modules of models' packages, for `sys.meta_path`."""

    loaders = (
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (SourceOnly, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if path is None or not name.startswith(PREFIX):
            return None
        portions: list[str] = []  # of a package without __init__.py
        for folder in path:
            spec = FileFinder(folder, *cls.loaders).find_spec(name)  # a new one: it remembers the files of a folder
            if spec and spec.loader:
                return spec
            portions.extend(spec.submodule_search_locations or () if spec else ())
        if not portions:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = portions
        return spec


_import, _import_module = builtins.__import__, importlib.import_module
_load, _loads = pickle.load, pickle.loads


def _model_of(variables: Mapping[str, Any] | None, by_call: bool) -> ModelCode | None:
    """The model that an import belongs to. `variables` are the globals of the importing module."""
    if variables is not None:
        own = _packages.get(str(variables.get("__name__")).partition(".")[0])
        # A statement in a shared module imports shared modules: the module is the same for all models.
        if own or (not by_call and variables.get("__spec__")):
            return own
    return _current.get()


def _import_for_model(
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    # A relative import uses the full name of the package. C code, such as pickle's, passes a list.
    code = None if level else _model_of(globals, by_call=isinstance(fromlist, list))
    if code and code.owns(name):
        return code.import_(name, fromlist)
    return _import(name, globals, locals, fromlist or (), level)


def _import_module_for_model(name: str, package: str | None = None) -> ModuleType:
    absolute = importlib.util.resolve_name(name, package) if name.startswith(".") and package else name
    code = _model_of(sys._getframe(1).f_globals, by_call=True)
    return code.import_module(absolute) if code and code.owns(absolute) else _import_module(name, package)


def _pickled_name(name: str) -> str:
    """The full name of a module in a pickle that was made here (perhaps by another worker, where the model's package
    has another number) or where the model was trained."""
    code = _current.get()
    first, _, rest = name.partition(".")
    plain = rest if first.startswith(PREFIX) else name
    return f"{code.package}.{plain}" if code and code.owns(plain) else name


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, name: str, /) -> Any:
        return super().find_class(_pickled_name(module_name), name)


def _load_for_model(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load() if _current.get() else _load(file, **options)


def _loads_for_model(data: Any, /, **options: Any) -> Any:
    return _Unpickler(io.BytesIO(data), **options).load() if _current.get() else _loads(data, **options)


def _install() -> None:
    """Once for the process. pickle needs its own hooks: it takes modules from `sys.modules` without an import."""
    if any(finder is ModelFinder for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, ModelFinder)
    in_python = pickle._Unpickler  # which joblib extends
    find_class = in_python.find_class
    in_python.find_class = lambda self, module, name: find_class(  # type: ignore[method-assign]
        self, _pickled_name(module), name
    )
    pickle.Unpickler = _Unpickler  # type: ignore[misc]
    pickle.load, pickle.loads = _load_for_model, _loads_for_model
    builtins.__import__ = _import_for_model
    importlib.import_module = _import_module_for_model
