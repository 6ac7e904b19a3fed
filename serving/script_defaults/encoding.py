"""Predictions as bodies of answers: what the default output_fn of all families but Hugging Face's writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from serving import codecs, streaming
from serving.streaming import EVENTS, is_stream


def output_fn(prediction: Any, accept: str, context: Any) -> tuple[Any, str]:
    """The prediction in the media type that the client asked for. One that is yielded comes as its parts are."""
    name = streaming.accepted(accept, codecs.JSON)
    if is_stream(prediction) or name == EVENTS:
        return prediction if is_stream(prediction) else iter([prediction]), EVENTS if name == EVENTS else ""
    return encode(plain(prediction), name), name


def plain(value: Any) -> Any:
    """Tensors, tables and sparse matrices as arrays; a tuple as the list of its members, which CSV has a row each."""
    if isinstance(value, tuple):
        return list(value)
    if hasattr(value, "detach"):  # a tensor of PyTorch's
        tensor = value.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    for method in ("to_numpy", "numpy", "toarray"):  # pandas', TensorFlow's, scipy.sparse's
        if hasattr(value, method):
            return getattr(value, method)()
    return value


def encode(value: Any, name: str) -> bytes:
    if name == codecs.JSON:
        return dumps(value, listed)
    return codecs.encode([_with_short_floats(value) if name == codecs.CSV else value], False, name)


def dumps(value: Any, default: Callable[[Any], Any]) -> bytes:
    """JSON. What orjson refuses is written too: integers above 64 bits, halves of surrogate pairs."""
    try:
        return orjson.dumps(value, default, orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        return json.dumps(value, default=default, separators=(",", ":")).encode()


def _with_short_floats(value: Any) -> Any:
    """Arrays of float32 with the digits that JSON has too: 0.1, not 0.10000000149011612."""
    dtype = getattr(value, "dtype", None)
    if getattr(dtype, "kind", "") == "f" and value.itemsize < 8:
        return value.astype(str)
    return value


def listed(value: Any) -> Any:
    """What a JSON library does not know as what it knows."""
    array = plain(value)
    if array is not value:
        return array
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a prediction of type {type(value).__name__} cannot be written as JSON")
