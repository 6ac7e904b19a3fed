"""Checks texts that fairseq passes to Python's `eval`: settings such as encoder_layers, "[(256, 3)] * 4".

The following are allowed, and nothing else: literals, lists, tuples and dictionaries; their sums and products of
limited size; and bare words such as `de-en` or `checkpoint_last.pt`, other settings of fairseq, as looking up a name
runs nothing. Texts that are no expression are allowed, as they cannot be evaluated.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

TOO_DEEP = "is nested too deeply"
ELEMENTS = 10_000  # of all lists in a text together; a model has some tens of layers


@dataclass(frozen=True)
class _Sequence:
    """A list, tuple, dictionary or text, by its size; nested elements are counted too."""

    elements: int


_Value = _Sequence | int | float | None  # None: neither a known number nor a sequence


def check(text: str) -> None:
    """Raises ValueError with the reason where evaluating `text` could run code or fill the memory."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return  # evaluating it fails too
    except (RecursionError, MemoryError):  # depends on the caller's stack, and fairseq's may have more room
        raise ValueError(TOO_DEEP) from None
    try:
        _value(tree.body)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def _value(node: ast.expr) -> _Value:
    match node:
        case ast.Constant(value=str() | bytes() as text):
            return _bounded(len(text))
        case ast.Constant(value=number):
            return number if isinstance(number, int | float) else None
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return _bounded(sum(map(_size, elements)))
        case ast.Dict(keys=keys, values=values):
            parts = [part for pair in zip(keys, values, strict=True) for part in pair]
            if None not in parts:  # None stands for {**x}
                return _bounded(sum(_size(part) for part in parts if part))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _value(operand)
            return None
        case ast.Name():
            return None
        case ast.Attribute(value=owner):
            return _value(owner) and None
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Div() | ast.Mult() as operator, right=right):
            return _combined(operator, _value(left), _value(right))
    raise ValueError("would be run as code")


def _size(node: ast.expr) -> int:
    value = _value(node)
    return max(1, value.elements) if isinstance(value, _Sequence) else 1


def _combined(operator: ast.operator, left: _Value, right: _Value) -> _Value:
    sequences = [value for value in (left, right) if isinstance(value, _Sequence)]
    if isinstance(operator, ast.Mult):
        if not sequences:
            return left * right if isinstance(left, int) and isinstance(right, int) else None
        times = right if sequences[0] is left else left
        if not isinstance(times, int):
            raise ValueError("multiplies a list by what is no whole number")
        return _bounded(sequences[0].elements * times)
    if isinstance(operator, ast.Add) and sequences:
        return _bounded(sum(value.elements for value in sequences))
    return None


def _bounded(elements: int) -> _Sequence:
    if elements > ELEMENTS:
        raise ValueError(f"would have more than {ELEMENTS} elements")
    return _Sequence(elements)
