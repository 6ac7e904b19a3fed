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

from byo_container.training.hugging_face.arguments import mapped
from byo_container.training.hugging_face.command_line import mapped_words
from byo_container.training.hugging_face.machine import Machine, this_machine
from byo_container.training.hugging_face.notes import is_older, tell

# Methods that scripts override, and that the Trainer calls with arguments they did not have.
OVERRIDDEN = ("compute_loss", "training_step", "log", "_get_train_sampler")


@functools.cache
def _machine() -> Machine:
    return this_machine()


def change_training_args(module: ModuleType) -> None:
    """transformers.training_args: TrainingArguments take the old names too."""
    _change_arguments(module.TrainingArguments)


def change_seq2seq_args(module: ModuleType) -> None:
    """transformers.training_args_seq2seq: its dataclass has an __init__ of its own."""
    _change_arguments(module.Seq2SeqTrainingArguments)


def _change_arguments(arguments_class: Any) -> None:
    init = arguments_class.__init__
    known = inspect.signature(init).parameters.keys() - {"self"}

    @functools.wraps(init)
    def init_mapped(self: Any, *positional: Any, **given: Any) -> None:
        arguments, lines = mapped(given, known, _machine())
        _tell("TrainingArguments", lines)
        if "logging_dir" not in known and given.get("logging_dir"):
            _set_logging_dir(given["logging_dir"])
        if _machine().compile and arguments.get("torch_compile"):
            _tolerate_what_cannot_be_compiled()
        init(self, *positional, **arguments)

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
        shortened = [name for name in OVERRIDDEN if shorten(self, trainer, name)]
        init(self, *positional, **given)
        if "compute_loss" in shortened:
            # Its loss is that of a batch: with accumulated gradients the Trainer divides it, as it did.
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
