"""Large answers: how to recognise one, and how to encode it without stopping the event loop.

They are encoded in a thread beside the loop. That is not enough for JSON: orjson keeps the interpreter's lock until it
is done, 0.3 s for 20 MB. So JSON is encoded in parts, and between two of them the loop gets its turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from byo_container.serving.codecs import plain_values

# Above this many bytes an answer is large.
LARGE_ANSWER = 32 * 1024
# Bytes that are encoded in one go, in a few milliseconds.
PART = 256 * 1024
NUMBER_BYTES, NUMBERS = 16, (int, float)
# How many of a dict's values and of a list's items, which are mostly alike, count for the estimate, and how deep.
OF_DICT, OF_LIST, DEPTH = 8, 4, 8


def is_large(outputs: list[Any]) -> bool:
    """Whether these outputs take long to encode, by an estimate that takes microseconds itself."""
    sample = outputs if len(outputs) <= OF_DICT else outputs[:: len(outputs) // OF_DICT]
    return _of_items(sample, len(outputs), LARGE_ANSWER, DEPTH) > LARGE_ANSWER


def dumps(value: Any) -> bytes:
    """The same JSON as by `plain_values.dumps`, encoded in parts. Raises the same errors."""
    try:
        return b"".join(_parts(value))
    except RecursionError:
        raise plain_values.too_deep() from None


def _parts(value: Any) -> Iterator[bytes]:
    bytes_ = size(value, float("inf"), DEPTH)
    items = _sliceable(value) if bytes_ > PART else None
    if items is not None:
        yield b"["
        step = max(1, int(len(items) * PART / bytes_))
        for start in range(0, len(items), step):
            if start:
                yield b","
            if step > 1:
                yield plain_values.dumps(items[start : start + step])[1:-1]
            else:
                yield from _parts(items[start])
        yield b"]"
    elif bytes_ > PART and type(value) is dict and all(type(key) is str for key in value):
        for number, (key, item) in enumerate(value.items()):
            yield b"," if number else b"{"
            yield plain_values.dumps(key) + b":"
            yield from _parts(item)
        yield b"}"
    else:
        yield plain_values.dumps(value)


def _sliceable(value: Any) -> Any:
    """A value with items along a first axis, in a form whose slices are encoded like the whole; None for others."""
    if type(value) in (list, tuple):
        return value
    if (table := plain_values.records(value)) is not None:
        return table
    array = plain_values.array_of(value)
    return array if plain_values.is_array(array) and array.ndim else None


def size(value: Any, most: float, depth: int) -> float:
    """An estimate in bytes; counting ends above `most`."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)
    if kind in plain_values.SIMPLE:
        return NUMBER_BYTES
    if kind is dict:
        return _of_items(list(islice(value.values(), OF_DICT)), len(value), most, depth)
    if isinstance(value, list | tuple):
        if value and type(value[0]) in NUMBERS and type(value[-1]) in NUMBERS:
            return NUMBER_BYTES * len(value)
        return _of_items(value[:: -(-len(value) // OF_LIST) or 1], len(value), most, depth)
    for name, factor in (("nbytes", 1), ("size", NUMBER_BYTES)):  # arrays and tensors; data frames
        number = getattr(value, name, None)
        if isinstance(number, int):
            return number * factor
    named = None if hasattr(value, "__next__") else plain_values.named_values(value)
    return NUMBER_BYTES if named is None else size(named, most, depth)


def _of_items(sample: Any, count: int, most: float, depth: int) -> float:
    """The size of `count` items by the size of some of them."""
    if not depth or not count:
        return NUMBER_BYTES * count
    scale = count / len(sample)
    total = 0.0
    for item in sample:
        total += scale * (NUMBER_BYTES + size(item, most / scale, depth - 1))
        if total > most:
            break
    return total
