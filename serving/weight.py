"""What decoding makes of a body: objects that take many times its bytes.

Three bytes of JSON, `[],`, become an object of 64. So what a body would become is estimated before it is decoded, by
counting the bytes that separate one value from the next, some milliseconds for 25 MB. The estimate errs upwards. (Those
inside of texts are counted too; the limits leave room for them.)
"""

from __future__ import annotations

from serving.errors import RequestError

# Lists, objects, lines: what a body of any size may hold, or one to so many bytes where it is larger. Parsers hold the
# interpreter's lock, and nobody else is answered meanwhile.
CONTAINERS, BYTES_A_CONTAINER = 2_000_000, 12
# Values in CSV, lines of text.
VALUES, BYTES_A_VALUE = 8_000_000, 3
# Values in one line of CSV, which is parsed without a pause.
VALUES_A_LINE = 2_000_000
# Bytes that Python takes, with the pointer that leads there: a short list, an object with one key, a number or an empty
# text.
LIST, OBJECT, VALUE = 96, 240, 88
# The bytes of a text's characters, by those of the body: one that is not ASCII makes all of them as wide as itself.
WIDEST = 4


def of_json(body: bytes, lines: bool = False) -> int:
    """Bytes that the values of a body in JSON take, or in lines of JSON. Raises RequestError 413 above the limits."""
    lists, objects = body.count(b"[") + (_lines(body) if lines else 0), body.count(b"{")
    _limit(body, lists + objects, CONTAINERS, BYTES_A_CONTAINER, "lists, objects and lines")
    return _characters(body) + LIST * lists + OBJECT * objects + VALUE * body.count(b",")


def of_csv(body: bytes) -> int:
    """The same for CSV."""
    lines, commas = _lines(body), body.count(b",")
    _limit(body, lines, CONTAINERS, BYTES_A_CONTAINER, "lines")
    _limit(body, lines + commas, VALUES, BYTES_A_VALUE, "values")
    if commas > VALUES_A_LINE:
        longest = max(line.count(b",") for line in body.replace(b"\r", b"\n").split(b"\n"))
        _limit(b"", longest, VALUES_A_LINE, 1, "values in one line")
    return _characters(body) + LIST * lines + VALUE * (commas + lines)


def of_text(body: bytes) -> int:
    """The same for lines of text."""
    lines = body.count(b"\n")
    _limit(body, lines, VALUES, BYTES_A_VALUE, "lines")
    return _characters(body) + VALUE * lines


def of_array(body: bytes) -> int:
    """The same for an array, which is copied once while its characters are checked."""
    return 2 * len(body)


def _characters(body: bytes) -> int:
    return len(body) if body.isascii() else WIDEST * len(body)


def _lines(body: bytes) -> int:
    return body.count(b"\n") + body.count(b"\r")


def _limit(body: bytes, found: int, limit: int, bytes_each: int, what: str) -> None:
    limit = max(limit, len(body) // bytes_each)
    if found > limit:
        raise RequestError(413, f"the body holds {found:,} {what}; send at most {limit:,} at once")
