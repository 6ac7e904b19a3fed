"""CSV, TSV, JSON lines and `text;label` lines → columns of values, with the line of each row. Standard library only."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.preprocessing import columns
from byo_container.handlers.text_classification.preprocessing.rows import LABEL, TEXT, shortened

SHAPES = 'lines of text;label, CSV with the columns text and label, or JSON lines like {"text": "…", "label": "joy"}'
DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Table:
    """What one file holds: each column has a value for each row, and `lines` the line on which the row begins."""

    name: str
    columns: dict[str, list[Any]]
    lines: list[int]


def decode(content: bytes, name: str) -> str:
    """UTF-8, or UTF-16 with a byte order mark, as text. Raises JobError."""
    if not content.strip():
        raise JobError(f"{name} is empty; it should hold {SHAPES}")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
        return text if "\n" in text else text.replace("\r", "\n")  # the line ends of old spreadsheets
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise JobError(
            f"{name}, line {line}: byte {content[error.start : error.start + 1].hex()} is not UTF-8; "
            "it should be text in UTF-8 (`iconv -f latin1 -t utf-8` converts it)"
        ) from error


def read_lines(text: str, name: str) -> Table:
    """`text;label`: the last semicolon of a line splits."""
    texts, labels, numbers = [], [], []
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            continue
        content, semicolon, label = line.rpartition(";")
        if not semicolon:
            raise JobError(f"{name}, line {number}: {shortened(line)} has no semicolon; it should be text;label")
        texts.append(content)
        labels.append(label.strip())
        numbers.append(number)
    return Table(name, {TEXT: texts, LABEL: labels}, numbers)


def _lines(text: str) -> list[str]:
    """Not `splitlines`, which splits at characters that a text may hold, such as U+2028."""
    return text.replace("\r\n", "\n").split("\n")


def read_csv(text: str, name: str, usual: str = ",") -> Table:
    """CSV with a header, or of two columns without. `usual` is the delimiter where the first line does not tell."""
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = next((each for each in (usual, *DELIMITERS) if _is_header(first, each)), usual)
    csv.field_size_limit(sys.maxsize)  # by default a text of 131,073 characters is an error
    rows = list(_csv_rows(text, name, delimiter))
    header = [cell.strip() for cell in rows[0][1]]
    if not _is_header(first, delimiter):
        return _without_header(rows, name)
    if len(rows) == 1:
        raise JobError(f"{name} has a header and no row")
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise JobError(
                f"{name}, line {number}: it has {len(row)} columns and the header has {len(header)} "
                f"({', '.join(header)}); a text with a {_named(delimiter)} in it should stand in double quotes"
            )
    values = {column: [row[at] for _, row in rows[1:]] for at, column in enumerate(header)}
    return Table(name, values, [number for number, _ in rows[1:]])


def _csv_rows(text: str, name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank. In TSV quotes are letters, unless every line has pairs of them."""
    plain = delimiter == "\t" and any(line.count('"') % 2 for line in _lines(text))
    quoting: Any = {"quoting": csv.QUOTE_NONE} if plain else {"strict": True}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, **quoting)
    number = 1
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise JobError(f"{name}, line {number}: {error}; a double quote within a quoted text is doubled") from error


def _is_header(line: str, delimiter: str) -> bool:
    cells = _cells(line, delimiter)
    return len(cells) > 1 and any(columns.recognised(cell, (*columns.TEXTS, *columns.LABELS)) for cell in cells)


def _names_both(line: str, delimiter: str) -> bool:
    cells = _cells(line, delimiter)
    kinds = (columns.TEXTS, columns.LABELS)
    return all(any(columns.recognised(cell, known) for cell in cells) for known in kinds)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])
    except csv.Error:  # a carriage return within a line of text;label
        return []


def _without_header(rows: Sequence[tuple[int, list[str]]], name: str) -> Table:
    """Two columns, of which the one with fewer different values is the label."""
    for number, row in rows:
        if len(row) != 2:
            raise JobError(
                f"{name}, line {number}: it has {len(row)} columns; without a header that names the columns text and "
                "label there should be two, the text and its label"
            )
    left, right = ([row[at] for _, row in rows] for at in (0, 1))
    texts, labels = (right, left) if len(set(left)) < len(set(right)) else (left, right)
    if len(rows) > 2 and labels.count(labels[0]) == 1 and len(set(labels)) < len(labels):
        raise JobError(
            f"{name}, line {rows[0][0]}: {', '.join(map(shortened, rows[0][1]))} looks like a header; "
            "its columns should be called text and label"
        )
    return Table(name, {TEXT: texts, LABEL: [label.strip() for label in labels]}, [number for number, _ in rows])


def _named(delimiter: str) -> str:
    return {",": "comma", "\t": "tab", ";": "semicolon"}.get(delimiter, delimiter)


def read_json(text: str, name: str) -> Table:
    """JSON lines, or one list of objects."""
    objects = _json_list(text, name) if text.lstrip().startswith("[") else _json_lines(text, name)
    found: dict[str, list[Any]] = {}
    keys = list(dict.fromkeys(key for _, row in objects for key in row))
    for key in keys:
        found[key] = [row.get(key) for _, row in objects]
    return Table(name, found, [number for number, _ in objects])


def _json_lines(text: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    objects = []
    for number, line in enumerate(_lines(text), 1):
        if line.strip():
            objects.append((number, _json_object(line, f"{name}, line {number}")))
    return objects


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise JobError(f'{where} is not JSON: {error}; it should be like {{"text": "…", "label": "joy"}}') from error
    if not isinstance(value, dict):
        raise JobError(f'{where} is not an object; it should be like {{"text": "…", "label": "joy"}}')
    return value


def _json_list(text: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a list count from 1, since lines tell nothing there."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JobError(f"{name} is not JSON: {error}; it should hold {SHAPES}") from error
    for number, row in enumerate(value, 1):
        if not isinstance(row, dict):
            raise JobError(f'{name}, element {number}: it should be an object like {{"text": "…", "label": "joy"}}')
    return list(enumerate(value, 1))


def read_any(text: str, name: str) -> Table:
    """A text whose name does not tell: a file *.txt, or a stream in Pipe mode."""
    first = text.lstrip().partition("\n")[0]
    if first.startswith(("{", "[{")) or first.strip() == "[":
        return read_json(text, name)
    for delimiter in DELIMITERS:
        if _names_both(first, delimiter):
            return read_csv(text, name, delimiter)
    if ";" not in first and "\t" in first:
        return read_csv(text, name, "\t")
    return read_lines(text, name)


READERS: dict[str, Callable[[str, str], Table]] = {
    ".csv": read_csv,
    ".tsv": lambda text, name: read_csv(text, name, "\t"),
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".txt": read_any,
}
"""By the ending of a file's name."""
