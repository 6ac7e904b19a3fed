"""What a model handler is, and how the right one is found.

Three ways to bring a model, in the order in which they are tried:
1. SageMaker-convention code: a training script, or inference.py with model_fn and its sisters.
2. `MODEL_HANDLER=package.module:Class` (environment, or the hyperparameter `model_handler`).
3. The name of an installed handler (entry-point group `byo_container.handlers`): `MODEL_HANDLER=news`.
A trained model remembers its handler in handler.json, so `serve` needs to be told nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from byo_container.container.failure import JobError
from byo_container.container.hyperparameters import nearest
from byo_container.container.job import TrainingJob, read_object
from byo_container.container.model_files import needs_no_code
from byo_container.container.paths import Paths

ENTRY_POINTS = "byo_container.handlers"
LAUNCHER_ENTRY_POINTS = "byo_container.launchers"
VARIABLE = "MODEL_HANDLER"
MANIFEST = "handler.json"
PREFIX = "X-Amzn-SageMaker-"


class InputError(Exception):
    """One input that cannot be predicted. The client gets status 400 and this message, which should say
    what would be right. Raise it for a request, or return it in place of one output."""


@dataclass
class Invocation:
    """The request that an input came with, for handlers that ask: what the platform says in its headers, and what is
    to be said in the answer's. Source: the API InvokeEndpoint of SageMaker's runtime."""

    header: Callable[[str], str]
    """Any header by its name; empty where there is none."""
    session: Path | None = None
    """A folder of the session's own, where one was opened (SessionId NEW_SESSION); every worker sees it."""
    reply_headers: dict[str, str] = field(default_factory=dict)
    content_type: str = ""
    """Set it where the answer is of a media type of the model's own choice, such as audio/wav."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the client sent as "parameters" beside "instances" or "inputs", to a handler that is `batched`."""

    @property
    def custom_attributes(self) -> str:
        """At most 1024 characters of ASCII that the client sent along."""
        return self.header(f"{PREFIX}Custom-Attributes")

    @property
    def inference_id(self) -> str:
        return self.header(f"{PREFIX}Inference-Id")

    @property
    def target_variant(self) -> str:
        return self.header(f"{PREFIX}Target-Variant")

    def reply_custom_attributes(self, text: str) -> None:
        """Sends custom attributes back; without it the client gets none. Raises ValueError for what is none."""
        if len(text) > 1024 or not (text.isascii() and text.isprintable()):
            raise ValueError(f"custom attributes are at most 1024 printable ASCII characters, not {text[:50]!r}")
        self.reply_headers[f"{PREFIX}Custom-Attributes"] = text


@dataclass
class Conversation:
    """A WebSocket, from its opening to its end: what its first request said, and a place for what the handler wants to
    remember between two messages."""

    header: Callable[[str], str]
    state: dict[str, Any] = field(default_factory=dict)


class Handler(Protocol):
    """A model. `train` may be left out by one that is only served, `load` and `predict` by one that is only
    trained. A dataclass `Hyperparameters` in the class declares what `job.hyperparameters` will be.

    docs/handlers.md has a table of what `inputs` hold by content type, and one of what an output may be. What a class
    may say besides, of what it takes and of how requests are put together for `predict` (MODEL_SERVER_BATCH_* have the
    last word):

        batched = True          # a list in JSON, {"instances": […]}, {"inputs": …} and the rows of an npy are inputs;
                                # else JSON and npy hold one input, whatever it is
        csv_squeeze = True      # a row of CSV that has one cell is a text, as a line of text/plain is
        batch_size = 16         # never more inputs in one call; without it 32, and a larger request in one call
        batch_delay_ms = 5      # how long a request waits for company while nothing is computed; else 0
        def cost(self, input):  # such as its length, in the event loop, so cheap: alike goes with alike, cheapest first
            return len(input)
        batch_cost = 4096       # the most for a batch: its dearest input's cost times its inputs, as padding makes it
        def split(self, input):         # of an input that holds several, these, so that a large one is no single call;
            return None                 # None for any other
        def join(self, input, outputs): # the output for such an input, from those for what split returned
            return outputs
        execution_parameters = {"MaxConcurrentTransforms": 4, "MaxPayloadInMB": 6}  # for batch transform
        inference_mode = False  # a PyTorch model that needs gradients to predict; else torch.inference_mode is on
    """

    def train(self, job: TrainingJob[Any]) -> None:
        """Trains, and leaves in job.model_dir what `load` needs."""

    def load(self, model_dir: Path) -> Any:
        """The model, ready to predict. Called once in every server worker; model_dir is read-only."""

    def predict(self, model: Any, inputs: list[Any]) -> list[Any]:
        """A list with one output for each input, in order; or a tuple, an array or tensor (along its first axis), a
        Series, a data frame (a dict for each row). Anything else fails the request with 500, and the log says why.

        Where it raises, it is called again with the inputs of half of the requests, until who is to blame stands alone.
        An output may be an InputError: that input fails alone. One that is an iterator (a generator, say) is sent part
        by part as it comes: texts and bytes as they are, other values as lines of JSON.

        One with a parameter `requests` gets there the Invocation of each input."""

    def converse(self, model: Any, message: str | bytes, conversation: Conversation) -> Any:
        """What to answer to one message of a WebSocket: a text, bytes, a value that is sent as JSON, an iterator of
        those, which are sent as they come, or None. May be left out: a message is then an input for `predict`."""


@dataclass(frozen=True)
class HandlerReference:
    """A handler class that was asked for: `target` is `package.module:Class`, `told_by` who asked."""

    target: str
    told_by: str

    def load(self) -> type[Handler]:
        """The class itself, or JobError that says what is wrong with the reference."""
        module_name, _, class_name = self.target.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
                raise JobError(
                    f"{self.told_by} asks for {self.target}, but there is no module {error.name!r}; "
                    f"looked in {', '.join(sys.path)}"
                ) from None
            raise
        found = getattr(module, class_name, None)
        if not isinstance(found, type):
            classes = [name for name, thing in vars(module).items() if isinstance(thing, type)]
            raise JobError(
                f"{self.told_by} asks for {self.target}, but {module.__file__} has no class {class_name!r}; "
                f"{nearest(class_name, classes)}"
            )
        return found


@dataclass(frozen=True)
class InferenceScript:
    """A file with SageMaker's serving functions (model_fn, input_fn, predict_fn, output_fn, transform_fn)."""

    path: Path | None
    """None where the defaults of a framework's container are all that is needed."""
    module: str = ""
    """`package.module` where the file is part of a package, and is to be imported by this name."""


def find_for_training(job: TrainingJob[Any], environ: Mapping[str, str] = os.environ) -> HandlerReference:
    """The handler that a job asks for; script mode has been ruled out before. Raises JobError."""
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
    """What answers for the model below `paths.root`. Raises JobError when nothing can be found."""
    script = find_inference_script(paths, environ)
    if script:
        return script
    if environ.get(VARIABLE):
        return resolve(environ[VARIABLE], f"the environment variable {VARIABLE}")
    manifest = paths.model / MANIFEST
    if manifest.exists():
        target = read_object(manifest).get("handler")
        if not isinstance(target, str):
            raise JobError(f'{manifest}: "handler" should be a text such as "package.module:Class"')
        return resolve(target, str(manifest))
    if environ.get("HF_TASK") or (needs_no_code(paths.model) and len(installed()) != 1):
        return InferenceScript(None)
    return _only_installed(
        f"nothing says how to serve {paths.model}: it has no {MANIFEST} (what `train` made has one), no "
        "code/inference.py, and neither TorchScript (model.pt), TensorFlow's SavedModel (1/saved_model.pb) nor what "
        f"save_pretrained of transformers leaves; set {VARIABLE} to a handler's name or to package.module:Class"
    )


def code_folders(paths: Paths, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where a user's serving code may be, best first: in the model archive, then in the image.

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
    if program and not environ.get(VARIABLE) and not (paths.model / MANIFEST).exists():
        looked = ", ".join(map(str, folders)) or f"{paths.model / 'code'}, {paths.code}"
        raise JobError(f"SAGEMAKER_PROGRAM names {program!r}, which is not in {looked}")
    return None


def script_in(folder: Path, program: str | None) -> InferenceScript | None:
    """The script of this name in a folder: inference.py, where none is named."""
    for script in _scripts(folder, program or "inference.py"):
        if script.path and script.path.is_file() and script.path.resolve().is_relative_to(folder.resolve()):
            return script
    return None


def _scripts(folder: Path, program: str) -> list[InferenceScript]:
    """What a program's name may mean in a folder. The toolkits import it as a module, its .py cut off."""
    found = [InferenceScript(folder / program)]
    module = program.removesuffix(".py")
    if re.fullmatch(r"\w+(\.\w+)*", module):
        path = folder / module.replace(".", "/")
        found += [
            InferenceScript(path.with_name(f"{path.name}.py"), module if "." in module else ""),
            InferenceScript(path / "__init__.py", module),
        ]
    return found


def resolve(name: str, told_by: str) -> HandlerReference:
    """A reference from `package.module:Class` or from the name of an installed handler."""
    if ":" in name:
        if not re.fullmatch(r"\w+(\.\w+)*:\w+", name):
            raise JobError(f"{told_by} asks for {name!r}; it must be a handler's name or package.module:Class")
        return HandlerReference(name, told_by)
    known = installed()
    if name not in known:
        raise JobError(f"{told_by} asks for the handler {name!r}, which is not installed; {nearest(name, known)}")
    return HandlerReference(known[name], told_by)


def installed() -> dict[str, str]:
    """Handlers by name: what packages have registered in the entry-point group."""
    return _registered(ENTRY_POINTS)


def launcher_of(target: str) -> str | None:
    """The launcher that an installed handler wants on several hosts or GPUs: what is registered under its name in the
    entry-point group `byo_container.launchers`. The class is not imported, which only its own process does."""
    launchers = _registered(LAUNCHER_ENTRY_POINTS)
    return next((launchers[name] for name, known in installed().items() if known == target and name in launchers), None)


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
    """Makes a user's code importable, before everything else that is."""
    for folder in reversed(list(folders)):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def export_path(folders: Iterable[Path], environ: MutableMapping[str, str] = os.environ) -> None:
    """Makes a user's code importable for the Python processes that it starts itself, before what PYTHONPATH has.
    Source: https://github.com/aws/sagemaker-inference-toolkit (model_server.py)"""
    before = environ.get("PYTHONPATH", "").split(os.pathsep)
    found = [entry for entry in dict.fromkeys([*map(str, folders), *before]) if entry]
    if found:
        environ["PYTHONPATH"] = os.pathsep.join(found)


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file as a whole: whoever reads it finds the old text or the new one, never a part."""
    building = path.with_name(f".{path.name}.new")
    try:
        with building.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        building.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            building.unlink()
        raise
