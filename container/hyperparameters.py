"""Hyperparameters: the platform's strings, converted to the types that a handler declares.

A handler declares a frozen dataclass and gets an instance of it:

    @dataclass(frozen=True)
    class Hyperparameters:
        epochs: Annotated[int, Range(1, 1000)] = 3
        architecture: Literal["mlp", "rnn"] = "mlp"
        learning_rate: Annotated[float, Aliases("lr")] | None = None
        WITHOUT_EFFECT: ClassVar[Mapping[str, str]] = {"n_gpus": "all that the host has are used"}

`WITHOUT_EFFECT` has the names that are accepted, as scripts for the same job have them, and change nothing, with the
reasons.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from byo_container.container.failure import JobError
from byo_container.container.suggest import did_you_mean

PLATFORM_PREFIX = "sagemaker_"
PLATFORM_NAMES = ("_tuning_objective_metric", "default_user_module_name")

H = TypeVar("H")


@dataclass(frozen=True)
class Range:
    """A closed interval for a number; `above=True` excludes the low end."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    def __contains__(self, number: float) -> bool:
        return (self.low < number if self.above else self.low <= number) and number <= self.high

    def __str__(self) -> str:
        low = [f"{'above' if self.above else 'at least'} {self.low}"] if self.low > -math.inf else []
        high = [f"at most {self.high}"] if self.high < math.inf else []
        return " and ".join(low + high) or "any"


class Aliases:
    """Other names of a hyperparameter, such as those of scripts for the same job: `Aliases("lr", "base_lr")`."""

    def __init__(self, *names: str) -> None:
        self.names = names


def is_platforms(name: str) -> bool:
    """Whether a hyperparameter is the platform's own, which handlers never get."""
    return name.startswith(PLATFORM_PREFIX) or name in PLATFORM_NAMES


def decode(text: str) -> Any:
    """Parses JSON; anything else stays a text. SageMaker's SDKs send both (`"a"` and `a`)."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> None:
    # Python's json accepts NaN and Infinity, which are not JSON.
    raise ValueError(name)


def parse(declared: type[H], texts: Mapping[str, str], source: object) -> H:
    """Makes an instance of the dataclass `declared` from the platform's strings.

    Hyphens in names are read as underscores, and aliases as the names that they stand for. `source` is named in errors.
    Raises JobError that lists every fault: an unknown name, a value of the wrong type or out of range, a missing value
    without a default.
    """
    fields = {field.name: field for field in dataclasses.fields(declared)}  # type: ignore[arg-type]
    # A default of None makes a field nullable.
    hints = {
        name: hint | None if name in fields and fields[name].default is None else hint
        for name, hint in typing.get_type_hints(declared, include_extras=True).items()
    }
    aliases = {alias: name for name, hint in hints.items() for alias in _aliases(hint)}
    values: dict[str, Any] = {}
    faults: list[str] = []
    seen: dict[str, str] = {}
    for given, text in texts.items():
        name = given if given in fields else given.replace("-", "_")
        name = aliases.get(name, name)
        if name in getattr(declared, "WITHOUT_EFFECT", ()):
            continue
        if name not in fields:
            faults.append(f"unknown hyperparameter {given!r}; {did_you_mean(given, fields)}")
        elif name in seen:
            faults.append(f"{name!r} is given twice, as {seen[name]!r} and as {given!r}")
        else:
            try:
                values[name] = convert(text, hints[name])
            except ValueError as error:
                faults.append(f"{given} = {text!r} is not right: it must be {error}")
        seen.setdefault(name, given)
    faults += [
        f"{name!r} is missing: it must be {expectation(hints[name])}"
        for name, field in fields.items()
        if name not in seen and _is_required(field)
    ]
    if faults:
        raise JobError(f"{source}: " + "; ".join(faults))
    return declared(**values)


def _aliases(kind: Any) -> list[str]:
    """The aliases in a type, which may lie in a union of it."""
    own = getattr(kind, "__metadata__", ())
    return [name for one in own if isinstance(one, Aliases) for name in one.names] + [
        name for part in get_args(kind) if get_origin(kind) is not Literal for name in _aliases(part)
    ]


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def convert(text: str, kind: Any) -> Any:
    """Converts one value to the type `kind`. Raises ValueError that says what the value must be.

    For `str` a text stays as it is, even if it looks like a number. Otherwise it is decoded, and decoded again if the
    result is a text that does not fit (`"\\"3\\""`: JSON in JSON, as some SDKs send it).
    """
    value = decode(text)
    readings = [(value, text)]
    if isinstance(value, str) and value != text:
        readings.append((decode(value), value))
    for value, written in readings:
        with contextlib.suppress(ValueError):
            return _fit(value, written, kind)
    raise ValueError(expectation(kind))


def _fit(value: Any, text: str, kind: Any) -> Any:
    """Converts `value`, which was decoded from `text`. Raises ValueError where it does not fit."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _fit_constraints(_fit(value, text, get_args(kind)[0]), get_args(kind)[1:])
    if origin in (Union, types.UnionType):
        return _fit_union(value, text, get_args(kind))
    if origin is Literal:
        return _fit_literal(value, text, get_args(kind))
    if origin is list:
        if not isinstance(value, list):
            raise ValueError
        return [_fit(item, item if isinstance(item, str) else json.dumps(item), *get_args(kind)) for item in value]
    return _fit_plain(value, text, kind)


def _fit_plain(value: Any, text: str, kind: Any) -> Any:
    if kind is Any:
        return value
    if kind is str:
        return value if isinstance(value, str) else text
    if kind is bool:
        return _fit_bool(value)
    if kind in (list, dict) and isinstance(value, kind):
        return value
    if kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return _fit_number(value, kind)
    raise ValueError


def _fit_number(value: float, kind: type[int] | type[float]) -> float:
    with contextlib.suppress(OverflowError):  # 1e999 as an int, 400 digits as a float
        number = kind(value)
        if number == value if kind is int else math.isfinite(number):
            return number
    raise ValueError


def _fit_bool(value: Any) -> bool:
    # V2 of the SDK sends str(True), the others json.dumps(True); a shell user writes 1.
    words = {"true": True, "1": True, "false": False, "0": False}
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError from None


def _fit_constraints(value: Any, constraints: tuple[Any, ...]) -> Any:
    for constraint in constraints:
        if isinstance(constraint, Range) and value is not None and value not in constraint:
            raise ValueError
    return value


def _fit_union(value: Any, text: str, kinds: tuple[Any, ...]) -> Any:
    if value in (None, "", "None") and type(None) in kinds:
        return None
    for kind in kinds:
        if kind is not type(None):
            try:
                return _fit(value, text, kind)
            except ValueError:
                continue
    raise ValueError


def _fit_literal(value: Any, text: str, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        # True == 1 in Python, but `true` is not one of the choices 1 and 2.
        if text == str(choice) or (value == choice and isinstance(value, bool) == isinstance(choice, bool)):
            return choice
    raise ValueError


def expectation(kind: Any) -> str:
    """Describes the values of a type for people: `a whole number, at least 1 and at most 9`."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return ", ".join([expectation(args[0]), *(str(c) for c in args[1:] if isinstance(c, Range))])
    if origin in (Union, types.UnionType):
        return " or ".join(expectation(kind) for kind in args)
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(str(choice) for choice in args)
    if origin is list:
        return f"a JSON list, each item {expectation(args[0])}"
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        list: "a JSON list",
        dict: "a JSON object",
        type(None): "null",
    }
    return words.get(kind, "any JSON value")
