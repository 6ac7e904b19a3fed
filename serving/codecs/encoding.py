"""Predictions as bodies of answers: as many outputs as the request had inputs, in the same order."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from byo_container.serving.codecs import large_answers, plain_values
from byo_container.serving.codecs.media_types import CSV, JSON, JSON_LINES, NPY, TEXT, import_numpy
from byo_container.serving.codecs.plain_values import dumps
from byo_container.serving.errors import RequestError


def encode(outputs: list[Any], many: bool, name: str) -> bytes:
    """The body of an answer in the media type `name`; `many` says that the request was line-oriented."""
    return ENCODERS[name](outputs, many)


def encode_large(outputs: list[Any], many: bool, name: str) -> bytes:
    """The same for a thread beside the event loop, which gets its turn in between."""
    if name == JSON:
        return large_answers.dumps(outputs if many else outputs[0])
    if name == JSON_LINES:
        return b"".join(large_answers.dumps(row) + b"\n" for row in _rows(outputs, many))
    return encode(outputs, many, name)


def _encode_json(outputs: list[Any], many: bool) -> bytes:
    return dumps(outputs if many else outputs[0])


def _rows(outputs: list[Any], many: bool) -> list[Any]:
    """The records of an answer. An output for a single input that is list-like (a tuple, an array, a data frame) holds
    several."""
    if many:
        return outputs
    found = plain_values.items(outputs[0])
    return outputs[:1] if found is None else found


def _encode_json_lines(outputs: list[Any], many: bool) -> bytes:
    return b"".join(dumps(row) + b"\n" for row in _rows(outputs, many))


def _encode_csv(outputs: list[Any], many: bool) -> bytes:
    lines = _Lines()
    # Rows end in CR LF for csv, which then quotes cells that hold either character, and in LF in the answer.
    csv.writer(lines, lineterminator="\r\n").writerows(plain_values.table(_rows(outputs, many)))
    # Half of a surrogate pair is no character, and has no form in UTF-8: `?` in its place.
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines).encode(errors="replace")


class _Lines(list[str]):
    write = list.append


def _encode_text(outputs: list[Any], many: bool) -> bytes:
    lines = [" ".join(map(str, cells)) for cells in plain_values.table(_rows(outputs, many))]
    # A line is a record: one that holds line breaks would be taken for several.
    return "".join(line.replace("\r", " ").replace("\n", " ") + "\n" for line in lines).encode(errors="replace")


def _encode_npy(outputs: list[Any], many: bool) -> bytes:
    numpy = import_numpy(406)
    array = plain_values.stacked(outputs if many else outputs[0])
    if array is None:
        raise RequestError(406, f"these predictions are no array of numbers; Accept {JSON} instead of {NPY}")
    stream = io.BytesIO()
    numpy.save(stream, array, allow_pickle=False)
    return stream.getvalue()


ENCODERS: dict[str, Callable[[list[Any], bool], bytes]] = {
    JSON: _encode_json,
    JSON_LINES: _encode_json_lines,
    CSV: _encode_csv,
    TEXT: _encode_text,
    NPY: _encode_npy,
}
