"""Transformers' Trainer, for scripts that know that of Transformers 4."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from byo_container.training.hugging_face.arguments import OLD, RENAMED, mapped
from byo_container.training.hugging_face.command_line import left_out, mapped_words
from byo_container.training.hugging_face.loading import in_single_precision
from byo_container.training.hugging_face.machine import Machine, this_machine
from byo_container.training.hugging_face.notes import is_older, tell

# Methods that scripts override, and that the Trainer calls with arguments they did not have.
OVERRIDDEN = ("compute_loss", "training_step", "log", "_get_train_sampler")
# An __init__ that maps what it is given has this attribute.
MAPS = "_byo_container_maps"
# Of the models whose loss counts the tokens of all batches of a step.
LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


@functools.cache
def _machine() -> Machine:
    return this_machine()


def change_training_args(module: ModuleType) -> None:
    """transformers.training_args: TrainingArguments take the old names too, and have them as attributes."""
    base: Any = module.TrainingArguments
    for name in OLD:
        if not hasattr(base, name):
            setattr(base, name, _attribute(name))

    def new(cls: Any, *_: Any, **__: Any) -> Any:
        for kind in cls.__mro__:  # each dataclass that inherits has an __init__ of its own
            if issubclass(kind, base) and "__init__" in vars(kind):
                _change_arguments(kind)
        return object.__new__(cls)

    base.__new__ = staticmethod(new)


def _attribute(name: str) -> Any:
    """The class's attribute of an old name: today's one, or what is false."""
    today = RENAMED.get(name)
    if today is None or today == "warmup_steps":  # whose meaning differs
        return None
    return property(lambda self: getattr(self, today), lambda self, value: setattr(self, today, value))


def _change_arguments(arguments_class: Any) -> None:
    init = arguments_class.__init__
    parameters = inspect.signature(init).parameters
    if hasattr(init, MAPS) or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return  # what takes any argument passes them on
    known = parameters.keys() - {"self"}

    @functools.wraps(init)
    def init_mapped(self: Any, *positional: Any, **given: Any) -> None:
        arguments, lines = mapped(given, known, _machine())
        _tell("TrainingArguments", lines)
        if "logging_dir" not in known and given.get("logging_dir"):
            _set_logging_dir(given["logging_dir"])
        if _machine().compile and arguments.get("torch_compile"):
            _tolerate_what_cannot_be_compiled()
        init(self, *positional, **arguments)
        for name in OLD.intersection(given) - known - RENAMED.keys():
            setattr(self, name, given[name])  # scripts read some, such as overwrite_output_dir
        if is_older() and getattr(self, "local_rank", None) == -1 and "LOCAL_RANK" in os.environ:
            self.local_rank = int(os.environ["LOCAL_RANK"])  # by which scripts let one rank write; 5 does not set it

    setattr(init_mapped, MAPS, True)
    arguments_class.__init__ = init_mapped


def change_argument_parser(module: ModuleType) -> None:
    """transformers.hf_argparser: the command line may have the old names too."""
    parser_class: Any = module.HfArgumentParser
    parse = parser_class.parse_known_args

    @functools.wraps(parse)
    def parse_mapped(self: Any, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        if any("per_device_train_batch_size" in _fields(kind) for kind in self.dataclass_types):
            known = {option[2:] for option in self._option_string_actions if option.startswith("--")}
            if "logging_dir" not in known and "--logging_dir" in words[:-1]:
                _set_logging_dir(words[words.index("--logging_dir") + 1])
            for name, value in left_out(words, known).items():
                for kind in self.dataclass_types:
                    setattr(kind, name, value)  # what is made of it is given what it knows
            words, lines = mapped_words(words, known, _machine())
            _tell("the command line", lines)
        return parse(self, args=words, namespace=namespace)

    parser_class.parse_known_args = parse_mapped


def change_trainer(module: ModuleType) -> None:
    """transformers.trainer: the Trainer takes `tokenizer`, and calls what a script overrides by its own signature."""
    trainer: Any = module.Trainer
    init = trainer.__init__
    if "tokenizer" in inspect.signature(init).parameters:
        return

    @functools.wraps(init)
    def init_mapped(self: Any, *positional: Any, **given: Any) -> None:
        if "tokenizer" in given:
            _tell("Trainer", ["tokenizer is processing_class"])
            given.setdefault("processing_class", given.pop("tokenizer"))
        if is_older():
            in_single_precision(given.get("model", positional[0] if positional else None))
        shortened = [name for name in OVERRIDDEN if shorten(self, trainer, name)]
        init(self, *positional, **given)
        if "compute_loss" in shortened or (is_older() and not is_language_model(self.model)):
            # The loss is the mean of a batch. Trainer takes it for the sum of a step's batches on all ranks over their
            # number, so it would multiply it by the ranks, and not divide it by the accumulated batches.
            self.model_accepts_loss_kwargs = False

    trainer.__init__ = init_mapped
    if not hasattr(trainer, "tokenizer"):
        trainer.tokenizer = property(
            lambda self: self.processing_class, lambda self, value: setattr(self, "processing_class", value)
        )


def change_callbacks(module: ModuleType) -> None:
    """transformers.trainer_callback: numbers are printed as numbers, which the metric definitions of estimators match
    (`'loss': ([0-9\\.]+)`); Transformers 5 prints them as texts."""
    printer, progress = module.PrinterCallback, module.ProgressCallback
    printer.on_log = _printing(printer.on_log, lambda self, state: print if state.is_local_process_zero else None)
    progress.on_log = _printing(
        progress.on_log,
        lambda self, state: self.training_bar.write if state.is_world_process_zero and self.training_bar else None,
    )


def _printing(original: Callable[..., None], writer: Callable[[Any, Any], Callable[[str], Any] | None]) -> Any:
    @functools.wraps(original)
    def on_log(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        if not is_older():
            original(self, args, state, control, logs=logs, **given)
        elif write := writer(self, state):
            write(str({name: value for name, value in (logs or {}).items() if name != "total_flos"}))

    return on_log


def is_language_model(model: Any) -> bool:
    return type(model).__name__.endswith(LANGUAGE_MODELS)


def shorten(instance: Any, base: type, name: str) -> bool:
    """Lets the Trainer call a method that a script overrides, and that lacks the last arguments of today's. Whether it
    does."""
    method = getattr(type(instance), name, None)
    original = getattr(base, name, None)
    if method is None or original is None or method is original:
        return False
    accepted = inspect.signature(method).parameters
    kinds = {parameter.kind for parameter in accepted.values()}
    lacking = set(inspect.signature(original).parameters) - set(accepted)
    if not lacking or inspect.Parameter.VAR_KEYWORD in kinds:
        return False
    most = len(accepted) - 1
    bound = getattr(instance, name)

    @functools.wraps(bound)
    def call(*positional: Any, **named: Any) -> Any:
        return bound(*positional[:most], **{key: value for key, value in named.items() if key not in lacking})

    setattr(instance, name, call)
    _tell(type(instance).__name__, [f"{name} is called without {', '.join(sorted(lacking))}, which it does not take"])
    return True


def _tolerate_what_cannot_be_compiled() -> None:
    """The job asks for the compiler, and not the script: what it cannot compile, or load from a /tmp that is mounted
    noexec, runs as it is, with PyTorch's warning."""
    import torch._dynamo.config

    torch._dynamo.config.suppress_errors = True


def _set_logging_dir(folder: Any) -> None:
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder)  # where Transformers 5 reads it


def _fields(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()


def _tell(where: str, lines: list[str]) -> None:
    for line in lines:
        tell(f"{where}: {line}")
