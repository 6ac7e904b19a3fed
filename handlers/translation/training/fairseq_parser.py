"""Hyperparameters ↔ fairseq's own argument parser: its names, types and choices, none of which are repeated here.

    "clip-norm": "0.1"           →  --clip-norm=0.1
    "fp16": "true"               →  --fp16             ("false": nothing; "" and "1" are true)
    "lr": "[0.25, 0.1]"          →  --lr=0.25,0.1
    "adam_betas": "(0.9, 0.98)"  →  --adam-betas=(0.9, 0.98)

The names depend on the chosen architecture, criterion, optimizer and scheduler.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, NoReturn

from byo_container.container import hyperparameters as hp
from byo_container.handlers.translation import compat
from byo_container.handlers.translation.training.option_names import FALSE, REMOVED, TRUE, fixed_option

CHOICES = ("arch", "criterion", "optimizer", "lr_scheduler")
"""Options with values that add options of their own."""
TRANSLATORS = ("fconv", "lightconv", "lstm", "transformer")
"""The modules of fairseq.models with models that translate text and are trained by the task `translation`."""

LIKE_NAME, LIKE_WORD, ONE_SEPARATOR_LESS = 0.75, 0.6, 0.9
"""Ratios of difflib from which on two names, two words of them, and two names with a different number of words are
similar."""
MAX_SHOWN = 4


class FairseqParser:
    """fairseq's options for one choice of architecture, criterion, optimizer and scheduler."""

    def __init__(self, choices: Mapping[str, str]) -> None:
        """Raises ValueError, with a message for people, where one of `choices` does not exist."""
        compat.install()
        from fairseq import options

        self._parser = options.get_training_parser(default_task="translation")
        self._parser.error = _refuse
        for name in CHOICES:
            if name in choices:
                check_choice(name, choices[name], self._choices(name))
        self._add_options_of(choices)
        self.actions = _by_name(self._parser)
        generation = argparse.ArgumentParser(add_help=False)
        options.add_generation_args(generation)
        generation.error = _refuse  # type: ignore[method-assign]
        self._generation = generation
        self.generation = _by_name(generation)

    def _choices(self, name: str) -> list[str]:
        from fairseq.models import ARCH_MODEL_REGISTRY

        if name == "arch":
            modules = {arch: model.__module__.split(".")[2] for arch, model in ARCH_MODEL_REGISTRY.items()}
            return [arch for arch, module in modules.items() if module in TRANSLATORS]
        (action,) = (action for action in self._parser._actions if action.dest == name)
        return list(action.choices or ())

    def _add_options_of(self, choices: Mapping[str, str]) -> None:
        """As fairseq.options.parse_args_and_arch does before it parses a second time."""
        from fairseq.models import ARCH_MODEL_REGISTRY
        from fairseq.registry import REGISTRIES
        from fairseq.tasks import TASK_REGISTRY

        group = self._parser.add_argument_group(argument_default=argparse.SUPPRESS)
        ARCH_MODEL_REGISTRY[choices["arch"]].add_args(group)
        TASK_REGISTRY["translation"].add_args(self._parser)
        for name, registry in REGISTRIES.items():
            default = self._parser.get_default(name)
            _add_options(self._parser, registry["registry"].get(choices.get(name, default)))

    def canonical(self, name: str) -> str | None:
        """fairseq's main name of an option (max_sentences → batch_size); None for an unknown one."""
        action = self.actions.get(name) or self.generation.get(name)
        return str(action.dest) if action else None

    def is_training_option(self, name: str) -> bool:
        """Whether a canonical name is that of a training option; else it is one of generation."""
        return any(action.dest == name for action in self.actions.values())

    def words(self, name: str, text: str) -> list[str]:
        """The command-line arguments for a training option. Raises ValueError that says what is wrong."""
        words = _words(self.actions[name], text)
        self._try(self._parser, ["data", *words])
        return words

    def generation_value(self, name: str, text: str) -> Any:
        """The value of a generation option, such as beam. Raises ValueError that says what is wrong."""
        action = self.generation[name]
        namespace = self._try(self._generation, _words(action, text))
        return getattr(namespace, action.dest)

    def _try(self, parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
        try:
            return parser.parse_known_args(words)[0]
        except (ValueError, TypeError, SyntaxError, NameError) as error:
            raise ValueError(str(error)) from None

    def explain(self, name: str, others: Iterable[str] = ()) -> str:
        """The explanation of an unknown name in an error message: why it was removed, what it belongs to, the option
        that it is a value of, or the known name (`others` included) that may have been meant. Empty without any."""
        if name in REMOVED:
            return f": {REMOVED[name]}"
        if owners := self._owners(name):
            return f": it belongs to {' and '.join(owners)}"
        if options := self._with_value(name):
            return f": it is a value of {' and '.join(options)}"
        close = misspelt(name, [*self.actions, *self.generation, *others])
        return f"; did you mean {close!r}?" if close else ""

    def _with_value(self, value: str) -> list[str]:
        """The options of which `value`, with underscores, is a choice."""
        names = [name for name in CHOICES if value in _underscored(self._choices(name))]
        actions = {
            action.dest: action for action in self.actions.values() if not fixed_option(action.dest, has_gpu=True)
        }
        return names + [
            name
            for name, action in actions.items()
            if name not in names and value in _underscored(action.choices or ())
        ]

    def _owners(self, name: str) -> list[str]:
        """The choices with an option of this name, such as "lr_scheduler = 'fixed', 'polynomial_decay'"."""
        from fairseq.models import ARCH_MODEL_REGISTRY
        from fairseq.registry import REGISTRIES

        kinds = {
            choice: {value: kind for value, kind in REGISTRIES[choice]["registry"].items() if value in known}
            for choice in CHOICES[1:]
            if (known := self._choices(choice))
        }
        kinds["arch"] = {arch: ARCH_MODEL_REGISTRY[arch] for arch in self._choices("arch")}
        owners = []
        for choice, by_value in kinds.items():
            has = {kind: name in _options_of(kind) for kind in set(by_value.values())}
            values = [value for value, kind in by_value.items() if has[kind]]
            if values:
                more = f" and {len(values) - MAX_SHOWN} more" if len(values) > MAX_SHOWN else ""
                owners.append(f"{choice} = {', '.join(map(repr, values[:MAX_SHOWN]))}{more}")
        return owners


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that was probably meant. Each of its words must be similar: `min_lr` is not `min_len`, though
    most of the letters are the same."""
    candidates = [(SequenceMatcher(None, name, other).ratio(), other) for other in known]
    likely = [(ratio, other) for ratio, other in candidates if ratio >= LIKE_NAME and _is_similar(name, other, ratio)]
    return max(likely)[1] if likely else None


def _is_similar(name: str, other: str, ratio: float) -> bool:
    ours, theirs = name.split("_"), other.split("_")
    if len(ours) != len(theirs):
        return ratio >= ONE_SEPARATOR_LESS
    return all(SequenceMatcher(None, *pair).ratio() >= LIKE_WORD for pair in zip(ours, theirs, strict=True))


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError where `value` is not one of the choices."""
    if value not in choices:
        close = misspelt(value, choices)
        meant = f"did you mean {close!r}? " if close else ""
        raise ValueError(f"{name} = {value!r} is not right: {meant}known are: {', '.join(sorted(choices))}")


def _underscored(choices: Iterable[Any]) -> set[str]:
    return {str(choice).replace("-", "_") for choice in choices}


def _add_options(parser: Any, kind: Any) -> None:
    """The options of one of fairseq's registered classes."""
    from fairseq.dataclass.utils import gen_parser_from_dataclass

    if hasattr(kind, "add_args"):
        kind.add_args(parser)
    elif hasattr(kind, "__dataclass"):
        gen_parser_from_dataclass(parser, getattr(kind, "__dataclass")())


def _options_of(kind: Any) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    _add_options(parser, kind)
    return set(_by_name(parser))


def _by_name(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Options by all their names, with underscores."""
    return {
        option.removeprefix("--").replace("-", "_"): action
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and action.dest != "help"
    }


def _words(action: argparse.Action, text: str) -> list[str]:
    option = max(action.option_strings, key=len)
    value = hp.decode(text)
    if isinstance(value, str) and value != text:
        return _words(action, value)  # JSON in JSON, as some SDKs send it
    if action.nargs == 0:
        return [option] if _is_wanted(action, text) else []
    if isinstance(value, list):
        items = [item if isinstance(item, str) else json.dumps(item) for item in value]
        # A literal where fairseq evaluates the text, else its form of a list, with commas.
        text = f"({', '.join(items)})" if action.dest.endswith("betas") else ",".join(items)
        if action.nargs in ("+", "*"):
            return [option, *items]
    return [f"{option}={text}"]  # one argument, or a value such as -1e-9 would be taken for an option


def _is_wanted(action: argparse.Action, text: str) -> bool:
    """Whether to pass a flag. Some flags of fairseq turn off what they are named after, where that is on by default."""
    word = text.strip().lower()
    if word not in TRUE + FALSE:
        raise ValueError(f"{text!r} is not right: it is a flag, and must be true or false")
    turns_off = getattr(action, "const", None) is False
    is_named_after = any(option.removeprefix("--").replace("-", "_") == action.dest for option in action.option_strings)
    return (word in TRUE) != (turns_off and is_named_after)


def _refuse(message: str) -> NoReturn:
    message = message.removeprefix("argument ").replace("invalid <lambda> value", "neither a number nor a list of them")
    raise ValueError(message)
