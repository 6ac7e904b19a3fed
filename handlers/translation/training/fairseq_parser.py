"""Hyperparameters as fairseq's own parser takes them: its names, types and choices, none of them written down here.

    "clip-norm": "0.1"           →  --clip-norm=0.1
    "fp16": "true"               →  --fp16             ("false": nothing; "" and "1" are true)
    "lr": "[0.25, 0.1]"          →  --lr=0.25,0.1
    "adam_betas": "(0.9, 0.98)"  →  --adam-betas=(0.9, 0.98)

Which names there are depends on the architecture, the criterion, the optimizer and the scheduler that are asked for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, NoReturn

from byo_container.container import hyperparameters as hp
from byo_container.handlers.translation import compat
from byo_container.handlers.translation.training.option_names import FALSE, GONE, TRUE, settled

CHOICES = ("arch", "criterion", "optimizer", "lr_scheduler")
"""Whose values bring options of their own."""
TRANSLATORS = ("fconv", "lightconv", "lstm", "transformer")
"""The modules of fairseq.models whose networks translate text and are trained by the task `translation`."""

LIKE_NAME, LIKE_WORD, ONE_SEPARATOR_LESS = 0.75, 0.6, 0.9
"""Ratios of difflib's, from which on names, words of them, and names of a different number of words are alike."""
MOST_SHOWN = 4


class Parser:
    """fairseq's options for a choice of architecture, criterion, optimizer and scheduler."""

    def __init__(self, chosen: Mapping[str, str]) -> None:
        """Raises ValueError, with a message for people, where one of `chosen` does not exist."""
        compat.install()
        from fairseq import options

        self._parser = options.get_training_parser(default_task="translation")
        self._parser.error = _refuse
        for name in CHOICES:
            if name in chosen:
                check_choice(name, chosen[name], self._choices(name))
        self._add_options_of(chosen)
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

    def _add_options_of(self, chosen: Mapping[str, str]) -> None:
        """As fairseq.options.parse_args_and_arch does before it parses for the second time."""
        from fairseq.models import ARCH_MODEL_REGISTRY
        from fairseq.registry import REGISTRIES
        from fairseq.tasks import TASK_REGISTRY

        group = self._parser.add_argument_group(argument_default=argparse.SUPPRESS)
        ARCH_MODEL_REGISTRY[chosen["arch"]].add_args(group)
        TASK_REGISTRY["translation"].add_args(self._parser)
        for name, registry in REGISTRIES.items():
            default = self._parser.get_default(name)
            _add_options(self._parser, registry["registry"].get(chosen.get(name, default)))

    def canonical(self, name: str) -> str | None:
        """fairseq's own name for an option or an alias of it (max_sentences → batch_size); None where unknown."""
        action = self.actions.get(name) or self.generation.get(name)
        return str(action.dest) if action else None

    def words(self, name: str, text: str) -> list[str]:
        """The command-line words for a training option. Raises ValueError that says what is wrong."""
        words = _words(self.actions[name], text)
        self._try(self._parser, ["data", *words])
        return words

    def generation_value(self, name: str, text: str) -> Any:
        """The value of a generation option, such as beam. Raises ValueError that says what is wrong."""
        action = self.generation[name]
        given = self._try(self._generation, _words(action, text))
        return getattr(given, action.dest)

    def _try(self, parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
        try:
            return parser.parse_known_args(words)[0]
        except (ValueError, TypeError, SyntaxError, NameError) as error:
            raise ValueError(str(error)) from None

    def explain(self, name: str, others: Iterable[str] = ()) -> str:
        """What to say of an unknown name: what has become of it, what it belongs to, which option it is a value of, or
        which known name (of `others` too) it may be a misspelling of. Empty where there is nothing to say."""
        if name in GONE:
            return f": {GONE[name]}"
        if owners := self._owners(name):
            return f": it belongs to {' and '.join(owners)}"
        if options := self._with_value(name):
            return f": it is a value of {' and '.join(options)}"
        close = misspelt(name, [*self.actions, *self.generation, *others])
        return f"; did you mean {close!r}?" if close else ""

    def _with_value(self, value: str) -> list[str]:
        """The options of which `value`, with underscores, is a choice."""
        found = [name for name in CHOICES if value in _underscored(self._choices(name))]
        actions = {action.dest: action for action in self.actions.values() if not settled(action.dest, has_gpu=True)}
        return found + [
            name
            for name, action in actions.items()
            if name not in found and value in _underscored(action.choices or ())
        ]

    def _owners(self, name: str) -> list[str]:
        """What has an option of this name, such as "lr_scheduler = 'fixed', 'polynomial_decay'"."""
        from fairseq.models import ARCH_MODEL_REGISTRY
        from fairseq.registry import REGISTRIES

        kinds = {
            choice: {value: kind for value, kind in REGISTRIES[choice]["registry"].items() if value in known}
            for choice in CHOICES[1:]
            if (known := self._choices(choice))
        }
        kinds["arch"] = {arch: ARCH_MODEL_REGISTRY[arch] for arch in self._choices("arch")}
        found = []
        for choice, by_value in kinds.items():
            has = {kind: name in _options_of(kind) for kind in set(by_value.values())}
            values = [value for value, kind in by_value.items() if has[kind]]
            if values:
                more = f" and {len(values) - MOST_SHOWN} more" if len(values) > MOST_SHOWN else ""
                found.append(f"{choice} = {', '.join(map(repr, values[:MOST_SHOWN]))}{more}")
        return found


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The name among `known` that `name` was probably meant to be. Every word of it must resemble one there: `min_lr`
    is not `min_len`, though most of its letters are."""
    candidates = [(SequenceMatcher(None, name, other).ratio(), other) for other in known]
    likely = [(ratio, other) for ratio, other in candidates if ratio >= LIKE_NAME and _is_alike(name, other, ratio)]
    return max(likely)[1] if likely else None


def _is_alike(name: str, other: str, ratio: float) -> bool:
    ours, theirs = name.split("_"), other.split("_")
    if len(ours) != len(theirs):
        return ratio >= ONE_SEPARATOR_LESS
    return all(SequenceMatcher(None, *pair).ratio() >= LIKE_WORD for pair in zip(ours, theirs, strict=True))


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError where `value` is none of the choices."""
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
        # As a literal where fairseq evaluates a text, else as it takes lists: with commas between.
        text = f"({', '.join(items)})" if action.dest.endswith("betas") else ",".join(items)
        if action.nargs in ("+", "*"):
            return [option, *items]
    return [f"{option}={text}"]  # in one word, or a value such as -1e-9 would be taken for an option


def _is_wanted(action: argparse.Action, text: str) -> bool:
    """Whether a flag is to be given. Some of fairseq's turn off what they are called, where that is the default."""
    word = text.strip().lower()
    if word not in TRUE + FALSE:
        raise ValueError(f"{text!r} is not right: it is a flag, and must be true or false")
    turns_off = getattr(action, "const", None) is False
    is_named_after = any(option.removeprefix("--").replace("-", "_") == action.dest for option in action.option_strings)
    return (word in TRUE) != (turns_off and is_named_after)


def _refuse(message: str) -> NoReturn:
    message = message.removeprefix("argument ").replace("invalid <lambda> value", "neither a number nor a list of them")
    raise ValueError(message)
