"""How much memory a body takes once it is decoded: many times its bytes.

Three bytes of JSON, `[],`, become an object of 64. So the memory is estimated before a body is decoded, by counting the
bytes that separate one value from the next, some milliseconds for 25 MB. The estimate errs upwards. (Separators inside
of texts are counted too; the limits leave room for them.)
"""

from __future__ import annotations

from byo_container.serving.errors import RequestError

# The limits of any body: a number, or one for so many bytes where that is more. Lists and objects of JSON: its parser
# holds the interpreter's lock to the end, and no other request is answered meanwhile.
CONTAINERS, BYTES_A_CONTAINER = 1_000_000, 24
# Lines of CSV, and lines of JSON with the lists and objects in them: other threads get their turn between two.
LINES, BYTES_A_LINE = 2_000_000, 12
# Values in CSV, lines of text.
VALUES, BYTES_A_VALUE = 8_000_000, 3
# Values in one line of CSV, which is parsed without a pause.
VALUES_A_LINE = 2_000_000
# Bytes of Python's objects, with the pointer to them: a short list, an object with one key, a number or an empty text.
LIST, OBJECT, VALUE = 96, 240, 88
# The bytes of a text by those of the body: one character that is not ASCII makes all of them as wide as itself.
WIDEST = 4


def of_json(body: bytes) -> int:
    """Bytes of the values of a body in JSON. Raises RequestError 413 above the limits."""
    lists, objects = body.count(b"["), body.count(b"{")
    _limit(body, lists + objects, CONTAINERS, BYTES_A_CONTAINER, "lists and objects")
    return _characters(body) + LIST * lists + OBJECT * objects + VALUE * body.count(b",")


def of_json_lines(body: bytes) -> int:
    """The same for lines of JSON."""
    lines, lists, objects = body.count(b"\n"), body.count(b"["), body.count(b"{")
    _limit(body, lines + lists + objects, LINES, BYTES_A_LINE, "lines, lists and objects")
    return _characters(body) + LIST * lists + OBJECT * objects + VALUE * (body.count(b",") + lines)


def of_csv(body: bytes) -> int:
    """The same for CSV."""
    lines = body.count(b"\n") + body.count(b"\r") - body.count(b"\r\n")
    commas = body.count(b",")
    _limit(body, lines, LINES, BYTES_A_LINE, "lines")
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


def _limit(body: bytes, found: int, limit: int, bytes_each: int, what: str) -> None:
    limit = max(limit, len(body) // bytes_each)
    if found > limit:
        raise RequestError(413, f"the body holds {found:,} {what}; send at most {limit:,} at once")
