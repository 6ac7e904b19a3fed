"""Reads settings from environment variables; every error names the variable, its value, and what would be right."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from byo_container.container.failure import JobError
from byo_container.container.hyperparameters import Range, convert

WholeDefault = TypeVar("WholeDefault", int, None)
SWITCH = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


@dataclass(frozen=True)
class EnvReader:
    """The variables in `environ`. A setting may have several names, of which the first that is set counts; one that is
    empty or blank is not set."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def text(self, *names: str) -> tuple[str, str]:
        """The name that is set and its value, stripped; the first name and an empty text where none is."""
        for name in names:
            if text := self.environ.get(name, "").strip():
                return name, text
        return names[0], ""

    def whole_number(
        self, names: str | Sequence[str], default: WholeDefault, low: int, high: int
    ) -> int | WholeDefault:
        """Raises JobError for anything but a whole number between `low` and `high`."""
        number: int | None = self._number(names, Annotated[int, Range(low, high)])
        return default if number is None else number

    def number(self, names: str | Sequence[str], default: float, low: float, high: float = math.inf) -> float:
        """Raises JobError for anything but a finite number between `low` and `high`."""
        number = self._number(names, Annotated[float, Range(low, high)])
        return default if number is None else float(number)

    def choice(self, names: str | Sequence[str], known: Sequence[str]) -> str:
        """One of the texts `known`, in any case; the first is the default. Raises JobError."""
        name, text = self.text(*_names(names))
        if text and text.lower() not in known:
            raise _wrong(name, text, f"one of {', '.join(known)}")
        return text.lower() or known[0]

    def switch(self, names: str | Sequence[str], default: bool) -> bool:
        """Raises JobError for anything but true, false, on, off, 1 or 0, in any case."""
        name, text = self.text(*_names(names))
        if not text:
            return default
        if text.lower() not in SWITCH:
            raise _wrong(name, text, "true or false, or on or off")
        return SWITCH[text.lower()]

    def _number(self, names: str | Sequence[str], kind: Any) -> Any:
        name, text = self.text(*_names(names))
        if not text:
            return None
        try:
            return convert(_as_json(text), kind)
        except ValueError as error:
            raise _wrong(name, text, str(error)) from None


def _names(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def _as_json(text: str) -> str:
    """`007`, `+5` and `1_000` are numbers to Python, but not to JSON."""
    with contextlib.suppress(ValueError):
        return str(int(text))
    return text


def _wrong(name: str, text: str, right: str) -> JobError:
    return JobError(f"the environment variable {name} is {text!r}; it must be {right}")
