"""Inputs of requests → texts and parameters, and their scores → outputs. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from byo_container.container.handler import InputError

Classify = Callable[[list[str]], list[list[tuple[str, float]]]]
"""Texts → for each, (label, score) of every label, best first."""


def respond(inputs: Sequence[Any], parameters: Sequence[Mapping[str, Any]], classify: Classify) -> list[Any]:
    """One output for each input. `classify` is called at most once, with the texts of all inputs."""
    texts = [value for value in inputs if isinstance(value, str)]
    scored = iter(classify(texts) if texts else ())
    return [
        {"label": (best := next(scored)[0])[0], "score": best[1]} if isinstance(value, str) else InputError("no text")
        for value in inputs
    ]
