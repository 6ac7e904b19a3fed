"""How the model's code is found: a handler class, or an inference script.

Three ways to bring a model, in the order in which they are tried:
1. SageMaker-convention code: a training script, or inference.py with model_fn and its sisters.
2. `MODEL_HANDLER=package.module:Class` (environment, or the hyperparameter `model_handler`).
3. The name of an installed handler (entry-point group `byo_container.handlers`): `MODEL_HANDLER=news`.
A trained model remembers its handler in handler.json, so that `serve` finds it without any setting.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container import manifest, old_names
from byo_container.container.failure import JobError
from byo_container.container.handler import Handler
from byo_container.container.job import TrainingJob
from byo_container.container.model_files import needs_no_code
from byo_container.container.paths import Paths
from byo_container.container.suggest import did_you_mean

ENTRY_POINTS = "byo_container.handlers"
LAUNCHER_ENTRY_POINTS = "byo_container.launchers"
VARIABLE = "MODEL_HANDLER"


@dataclass(frozen=True)
class HandlerReference:
    """A handler class by name: `target` is `package.module:Class`, `source` says which setting names it."""

    target: str
    source: str

    def load(self) -> type[Handler]:
        """The class itself, or JobError that says what is wrong with the reference."""
        module_name, _, class_name = self.target.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
                is_file = error.name == module_name and module_name.endswith(".py")
                hint = f"; it is named without .py, {module_name[:-3]}:{class_name}" if is_file else ""
                raise JobError(
                    f"{self.source} asks for {self.target}, but there is no module {error.name!r}{hint}; "
                    f"looked in {', '.join(sys.path)}"
                ) from None
            raise
        handler_class = getattr(module, class_name, None)
        if not isinstance(handler_class, type):
            classes = [name for name, thing in vars(module).items() if isinstance(thing, type)]
            own = [name for name in classes if vars(module)[name].__module__ == module_name]
            raise JobError(
                f"{self.source} asks for {self.target}, but {module.__file__} has no class {class_name!r}; "
                f"{did_you_mean(class_name, own or classes)}"
            )
        return handler_class


@dataclass(frozen=True)
class InferenceScript:
    """A file with SageMaker's serving functions (model_fn, input_fn, predict_fn, output_fn, transform_fn)."""

    path: Path | None
    """None where the defaults of a framework's container are sufficient."""
    module: str = ""
    """`package.module` where the file is part of a package and must be imported by this name."""


def find_for_training(job: TrainingJob[Any], environ: Mapping[str, str] = os.environ) -> HandlerReference:
    """The handler that a job names; the caller has ruled out script mode. Raises JobError."""
    if job.handler_name:
        return resolve(job.handler_name, f"the hyperparameter model_handler in {job.paths.hyperparameters}")
    if environ.get(VARIABLE):
        return resolve(environ[VARIABLE], f"the environment variable {VARIABLE}")
    return _only_installed(
        "nothing says what to train: set the hyperparameter model_handler (or MODEL_HANDLER) to a handler's "
        "name or to package.module:Class, or bring a script (sagemaker_program, or "
        f"{job.paths.code / 'train.py'})"
    )


def find_for_serving(paths: Paths, environ: Mapping[str, str] = os.environ) -> HandlerReference | InferenceScript:
    """The handler or the inference script that serves the model below `paths.root`. Raises JobError without any."""
    script = find_inference_script(paths, environ)
    if script:
        return script
    if environ.get(VARIABLE):
        return resolve(environ[VARIABLE], f"the environment variable {VARIABLE}")
    if manifest.exists(paths.model):
        return resolve(manifest.read(paths.model), str(manifest.path_in(paths.model)))
    if environ.get("HF_TASK") or (needs_no_code(paths.model) and len(installed()) != 1):
        return InferenceScript(None)
    return _only_installed(
        f"nothing says how to serve {paths.model}: it has no {manifest.NAME} (what `train` made has one), no "
        "code/inference.py, and neither TorchScript (model.pt), TensorFlow's SavedModel (1/saved_model.pb) nor what "
        f"save_pretrained of transformers leaves; set {VARIABLE} to a handler's name or to package.module:Class"
    )


def code_folders(paths: Paths, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders that may hold a user's serving code, in the order of the search: the model archive, then the image.

    The model folder itself comes last: the SDK's local mode mounts the code there.
    """
    submitted = environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "").removeprefix("file://")
    named = [Path(submitted)] if submitted.startswith("/") else []
    folders = [paths.model / "code", *named, paths.code, paths.model]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def find_inference_script(paths: Paths, environ: Mapping[str, str] = os.environ) -> InferenceScript | None:
    """The user's inference.py (or what SAGEMAKER_PROGRAM names), if there is one: a file, `package.module`, or a
    package. Raises JobError where a named one is missing."""
    program = environ.get("SAGEMAKER_PROGRAM")
    folders = code_folders(paths, environ)
    for folder in folders:
        if script := script_in(folder, program):
            return script
    if program and not environ.get(VARIABLE) and not manifest.exists(paths.model):
        looked = ", ".join(map(str, folders)) or f"{paths.model / 'code'}, {paths.code}"
        raise JobError(f"SAGEMAKER_PROGRAM names {program!r}, which is not in {looked}")
    return None


def script_in(folder: Path, program: str | None) -> InferenceScript | None:
    """The script `program` in a folder, or inference.py by default; None where there is none."""
    for script in _scripts(folder, program or "inference.py"):
        if script.path and script.path.is_file() and script.path.resolve().is_relative_to(folder.resolve()):
            return script
    return None


def _scripts(folder: Path, program: str) -> list[InferenceScript]:
    """The files that a program's name may mean. The toolkits import it as a module, without its .py."""
    scripts = [InferenceScript(folder / program)]
    module = program.removesuffix(".py")
    if re.fullmatch(r"\w+(\.\w+)*", module):
        path = folder / module.replace(".", "/")
        scripts += [
            InferenceScript(path.with_name(f"{path.name}.py"), module if "." in module else ""),
            InferenceScript(path / "__init__.py", module),
        ]
    return scripts


def resolve(name: str, source: str) -> HandlerReference:
    """A reference from `package.module:Class` or from the name of an installed handler."""
    if ":" in name:
        if not re.fullmatch(r"\w+(\.\w+)*:\w+", name):
            raise JobError(f"{source} asks for {name!r}; it must be a handler's name or package.module:Class")
        return HandlerReference(name, source)
    known = installed()
    if name not in known:
        module, _, class_name = name.rpartition(".")
        by_class = f"; a class is written with a colon, {module}:{class_name}" if module else ""
        raise JobError(
            f"{source} asks for the handler {name!r}, which is not installed; {did_you_mean(name, known)}{by_class}"
        )
    return HandlerReference(known[name], source)


def installed() -> dict[str, str]:
    """Handlers by name, as packages register them in the entry-point group."""
    return _registered(ENTRY_POINTS)


def launcher_of(target: str) -> str | None:
    """The launcher that an installed handler uses on several hosts or GPUs: the entry of its name in the entry-point
    group `byo_container.launchers`; None without one. The class is not imported: only its own process does that."""
    launchers = _registered(LAUNCHER_ENTRY_POINTS)
    targets = (target, f"byo_container.{target}")  # which handlers.translation:Translation was called once
    return next(
        (launchers[name] for name, known in installed().items() if known in targets and name in launchers), None
    )


def _registered(group: str) -> dict[str, str]:
    from importlib.metadata import entry_points  # 20 ms of every start that needs no look-up

    return {point.name: point.value for point in entry_points(group=group)}


def _only_installed(otherwise: str) -> HandlerReference:
    known = installed()
    if len(known) == 1:
        ((name, target),) = known.items()
        return HandlerReference(target, f"the only installed handler, {name!r},")
    raise JobError(f"{otherwise}; installed are: {', '.join(sorted(known)) or 'none'}")


def put_on_path(folders: Iterable[Path]) -> None:
    """Makes a user's code importable, before everything else, and our public modules by their old names, after it."""
    old_names.install()
    for folder in reversed(list(folders)):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def export_path(folders: Iterable[Path], environ: MutableMapping[str, str] = os.environ) -> None:
    """Puts a user's code at the front of PYTHONPATH, for Python processes that the code starts itself.
    Source: https://github.com/aws/sagemaker-inference-toolkit (model_server.py)"""
    before = environ.get("PYTHONPATH", "").split(os.pathsep)
    entries = [entry for entry in dict.fromkeys([*map(str, folders), *before]) if entry]
    if entries:
        environ["PYTHONPATH"] = os.pathsep.join(entries)
