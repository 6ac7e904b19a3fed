"""The outputs in what a handler's `predict` returns: one for each input, else an error that says what is right."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Set, Sized
from typing import Any

from byo_container.serving.codecs import plain_values

EXAMPLES = {dict: "[{…}]", str: '["…"]', bool: "[True]", int: "[1]", float: "[0.5]"}


def outputs_of(returned: Any, count: int, name: str) -> list[Any]:
    """The outputs in what `predict` of the handler `name` returned for `count` inputs: the items of a list, a tuple or
    another ordered collection, or of the first axis of an array, a tensor, a Series or a data frame (whose rows are
    dicts). Raises TypeError for anything else, and for a wrong number.

    Call it in the thread that computes: outputs on a device are copied to the host."""
    outputs = returned if type(returned) is list else _listed(returned)
    if outputs is None:
        raise TypeError(f"predict of {name} returned {_named(returned)}; it must return {_wanted(count, returned)}")
    if len(outputs) != count:
        raise TypeError(
            f"predict of {name} returned {len(outputs)} outputs for {_inputs(count)}; "
            f"it must return {_wanted(count)}, in the same order"
        )
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    if tensor:
        return [plain_values.array_of(output) if isinstance(output, tensor) else output for output in outputs]
    return outputs


def _listed(returned: Any) -> list[Any] | None:
    """The items of an ordered collection; None for a single value, for a set, and for an iterator, which may be one
    answer in parts."""
    if isinstance(returned, Mapping | Set | Iterator):
        return None
    found = plain_values.items(returned)
    if found is not None or isinstance(returned, str | bytes | bytearray | memoryview):
        return found
    if (
        plain_values.named_values(returned) is not None
        or not isinstance(returned, Sized)
        or not isinstance(returned, Iterable)
    ):
        return None
    try:
        return list(returned)
    except TypeError:  # an array without dimensions
        return None


def _named(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, Iterator):
        return "a generator" if hasattr(value, "send") else f"an iterator (of type {type(value).__name__})"
    name = type(value).__name__
    if getattr(value, "shape", None) == () and (plain_values.is_array(value) or plain_values.is_tensor(value)):
        return f"an array without dimensions (of type {name})"
    return f"an {name}" if name[:1].lower() in "aeio" else f"a {name}"


def _wanted(count: int, instead_of: Any = ()) -> str:
    right = f"a list with one output for {f'each of the {count} inputs' if count != 1 else 'the one input'}"
    if instead_of is None:
        return f"{right}; is a `return` missing?"
    if isinstance(instead_of, Iterator):
        return f"{right}. An output may be a generator, which is then sent part by part: return [generator]"
    example = next((text for kind, text in EXAMPLES.items() if isinstance(instead_of, kind)), "")
    return f"{right}, such as {example}" if example else right


def _inputs(count: int) -> str:
    return f"{count} inputs" if count != 1 else "1 input"
