"""Inputs of requests → headlines, and their probabilities → outputs. Standard library only.

    an input                                          its output
    {"input": "headline"}, or just "headline"         {"result": "Health & Medicine"}
    {"input": ["headline", …]}, or ["headline", …]    {"result": ["Health & Medicine", …]}
    {"input": …, "probabilities": true}               also "probabilities": {"Business": 0.01, …}, or a list

The output for any other input is an InputError, so that only this input fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from byo_container.container.handler import InputError
from byo_container.handlers.news.categories import NAMES

EXPECTED = 'a headline, a list of headlines, or {"input": either of them, "probabilities": true or false}'
SHOWN = 60

Classify = Callable[[list[str]], list[list[float]]]  # headlines → four probabilities for each


def respond(inputs: Sequence[Any], classify: Classify) -> list[Any]:
    """One output for each input. `classify` is called at most once, with the headlines of all inputs."""
    requests = [_read(value) for value in inputs]
    headlines: list[str] = []
    for request in requests:
        if not isinstance(request, InputError):
            headlines += request[0]
    rows = iter(classify(headlines) if headlines else ())
    return [
        request
        if isinstance(request, InputError)
        else _output([next(rows) for _ in request[0]], request[1], request[2])
        for request in requests
    ]


def _read(value: Any) -> tuple[list[str], bool, bool] | InputError:
    """The headlines, whether they came as a list, and whether to return probabilities."""
    with_probabilities: Any = False
    if isinstance(value, dict):
        if "input" not in value or len(value) > 2 or (len(value) == 2 and "probabilities" not in value):
            keys = ", ".join(map(repr, list(value)[:5])) or "none"
            return InputError(f"an object should hold 'input', and 'probabilities' at most; its keys: {keys}")
        with_probabilities = value.get("probabilities", False)
        value = value["input"]
        if not isinstance(with_probabilities, bool):
            return InputError(f"'probabilities' is {_show(with_probabilities)}; it must be true or false")
    elif hasattr(value, "tolist"):
        value = value.tolist()  # an array of texts
    if isinstance(value, str):
        return _blank(value, "") or ([value], False, with_probabilities)
    if not isinstance(value, list):
        return InputError(f"the input is {_show(value)}; it should be {EXPECTED}")
    for index, headline in enumerate(value):
        if not isinstance(headline, str):
            return InputError(f"item {index} of the list is {_show(headline)}; it should be a headline (a text)")
        if fault := _blank(headline, f" (item {index} of the list)"):
            return fault
    return value, True, with_probabilities


def _blank(headline: str, where: str) -> InputError | None:
    if not headline or headline.isspace():
        return InputError(f"the headline{where} is empty; it should hold at least one word")
    return None


def _show(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds = {dict: "an object", list: "a list", int: "the number", float: "the number"}
    kind = kinds.get(type(value), "of the type " + type(value).__name__)
    if not kind.endswith("number"):
        return kind
    try:
        return f"{kind} {str(value)[:SHOWN]}"
    except ValueError:  # an integer with thousands of digits
        return kind


def _output(rows: list[list[float]], as_list: bool, with_probabilities: bool) -> dict[str, Any]:
    results = [NAMES[row.index(max(row))] for row in rows]
    output: dict[str, Any] = {"result": results if as_list else results[0]}
    if with_probabilities:
        by_name = [dict(zip(NAMES, row, strict=True)) for row in rows]
        output["probabilities"] = by_name if as_list else by_name[0]
    return output
