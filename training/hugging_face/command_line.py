"""The command line of a script that reads TrainingArguments from it by HfArgumentParser."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from byo_container.training.hugging_face.arguments import GONE, mapped
from byo_container.training.hugging_face.machine import Machine


def mapped_words(words: Sequence[str], known: Collection[str], machine: Machine) -> tuple[list[str], list[str]]:
    """The words for a parser that knows the options `known` (without --), and a line for each that was mapped."""
    options = list(_options(words))
    given = {name: _value(values) for name, values in options if name}
    arguments, lines = mapped(given, known, machine)
    kept = [
        word
        for name, values in options
        if not name or (name in arguments and arguments[name] == given[name])
        for word in ([f"--{name}"] if name else []) + values
    ]
    new = {name: value for name, value in arguments.items() if name not in given or value != given[name]}
    added = [word for name, value in new.items() for word in (f"--{name}", *_words(value))]
    return kept + added, lines


def left_out(words: Sequence[str], known: Collection[str]) -> dict[str, Any]:
    """The old options that nothing takes the place of, with their values: scripts read some of them."""
    return {name: _value(values) for name, values in _options(words) if name in GONE and name not in known}


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each option with its values; the words before the first one have no name."""
    name: str = ""
    values: list[str] = []
    for word in words:
        if word.startswith("--"):
            yield name, values
            name, equals, value = word[2:].partition("=")
            values = [value] if equals else []
        else:
            values.append(word)
    yield name, values


def _value(values: Sequence[str]) -> Any:
    """True for an option without a value, as argparse has it for a bool."""
    if len(values) != 1:
        return list(values) or True
    try:
        return ast.literal_eval(values[0].capitalize() if values[0] in ("true", "false") else values[0])
    except (ValueError, SyntaxError):
        return values[0]


def _words(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
