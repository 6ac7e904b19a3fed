"""Reads newsCorpora.csv in the format in which UCI publishes it.

Tab-separated, no header, no quoting, UTF-8, eight columns:
ID, TITLE, URL, PUBLISHER, CATEGORY, STORY, HOSTNAME, TIMESTAMP.
Source: https://archive.ics.uci.edu/dataset/359/news+aggregator
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.container.files import digest
from byo_container.handlers.news.categories import CATEGORIES

COLUMNS = ("ID", "TITLE", "URL", "PUBLISHER", "CATEGORY", "STORY", "HOSTNAME", "TIMESTAMP")
TITLE = COLUMNS.index("TITLE")
CATEGORY = COLUMNS.index("CATEGORY")
SPLIT_SEED = 99
VALIDATION_SHARE = 0.2
MIN_ROWS = 5  # so that a fifth is at least one
MAX_QUOTED = 60  # characters of an invalid value in an error message

TAB, NEWLINE = 9, 10

Positions = npt.NDArray[np.int64]  # of bytes

_LABELS = {code.encode(): label for label, code in enumerate(CATEGORIES)}


@dataclass(frozen=True)
class Headlines:
    """titles: UTF-8; labels: int32 (rows,), indices of CATEGORIES."""

    titles: list[bytes]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.titles)

    def fingerprint(self) -> str:
        """A digest of headlines, categories and their order, independent of the files that they come from."""
        return digest.of_bytes(b"\n".join(self.titles), self.labels.tobytes())


@dataclass(frozen=True)
class Split:
    """Row numbers, int64: four fifths for training, one fifth for validation."""

    training: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]


def read_channel(channel: Channel) -> Headlines:
    """All headlines of a channel: its `*.csv` files, or its one stream in Pipe mode.

    The data are read once and kept, as a FIFO can be read only once. Raises JobError that names file and line where
    the data are malformed, too few, or of a single category.
    """
    titles: list[bytes] = []
    labels: list[npt.NDArray[np.int32]] = []
    names: list[str] = []
    for name, stream in channel.streams("*.csv"):
        part = parse(stream.read(), name)
        names.append(name)
        titles += part.titles
        labels.append(part.labels)
    headlines = Headlines(titles, np.concatenate(labels) if labels else np.empty(0, np.int32))
    _check_enough(headlines, ", ".join(names))
    return headlines


def parse(text: bytes, name: str) -> Headlines:
    """The headlines in the bytes of one file. Raises JobError with `name` and line number."""
    if not text:
        raise JobError(f"{name} is empty; it should hold {_shape()}")
    _check_utf8(text, name)
    ends = _column_ends(text, name)
    starts = np.concatenate(([0], ends.ravel()[:-1] + 1)).reshape(ends.shape)
    titles = _column(text, starts, ends, TITLE)
    codes = _column(text, starts, ends, CATEGORY)
    # Checked in bulk, and line by line only for an error message: the real file has 400,000 lines.
    if not set(codes) <= _LABELS.keys():
        raise _first_unknown_category(codes, name)
    if not all(map(bytes.strip, titles)):
        line = next(n for n, title in enumerate(titles, 1) if not title.strip())
        raise JobError(f"{name}, line {line}: TITLE (column {TITLE + 1}) is empty; it should be a headline")
    return Headlines(titles, np.fromiter(map(_LABELS.__getitem__, codes), np.int32, len(codes)))


def _column_ends(text: bytes, name: str) -> Positions:
    """The end of each column of each line: int64 (lines, columns). The last newline may be missing."""
    bytes_ = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((bytes_ == TAB) | (bytes_ == NEWLINE))
    is_newline = bytes_[ends] == NEWLINE
    if not text.endswith(b"\n"):
        ends, is_newline = np.append(ends, len(text)), np.append(is_newline, True)
    expected = np.arange(len(ends)) % len(COLUMNS) == len(COLUMNS) - 1
    if len(ends) % len(COLUMNS) or (is_newline != expected).any():
        raise _first_wrong_width(text, name)
    return ends.reshape(-1, len(COLUMNS))


def _column(text: bytes, starts: Positions, ends: Positions, column: int) -> list[bytes]:
    pairs = zip(starts[:, column].tolist(), ends[:, column].tolist(), strict=True)
    return [text[start:end] for start, end in pairs]


def split(rows: int) -> Split:
    """A fixed fifth of `rows` for validation (seed 99)."""
    order = np.random.default_rng(SPLIT_SEED).permutation(rows)
    held_out = round(rows * VALIDATION_SHARE)
    return Split(training=order[held_out:], validation=order[:held_out])


def _shape() -> str:
    return f"lines of {len(COLUMNS)} tab-separated columns ({', '.join(COLUMNS)}), as UCI publishes them"


def _check_utf8(text: bytes, name: str) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        raise JobError(
            f"{name}, line {line}: byte {column} (0x{text[error.start]:02x}) is not UTF-8; "
            "convert the file, for example with iconv -f LATIN1 -t UTF-8"
        ) from None


def _first_wrong_width(text: bytes, name: str) -> JobError:
    widths = enumerate((line.count(b"\t") + 1 for line in text.split(b"\n")), 1)
    line, width = next((line, width) for line, width in widths if width != len(COLUMNS))
    actual = f"{width} tab-separated column{'s'[: width != 1]}"
    return JobError(f"{name}, line {line}: {actual}, where there should be {len(COLUMNS)}: {', '.join(COLUMNS)}")


def _first_unknown_category(codes: Sequence[bytes], name: str) -> JobError:
    line, code = next((n, code) for n, code in enumerate(codes, 1) if code not in _LABELS)
    allowed = ", ".join(f"{code} ({meaning})" for code, meaning in CATEGORIES.items())
    return JobError(
        f"{name}, line {line}: unknown CATEGORY {code.decode()[:MAX_QUOTED]!r} (column {CATEGORY + 1}); "
        f"it must be one of {allowed}"
    )


def _check_enough(headlines: Headlines, names: str) -> None:
    if len(headlines) < MIN_ROWS:
        raise JobError(
            f"{names}: {len(headlines)} headline{'s'[: len(headlines) != 1]} cannot be split into training "
            f"and validation; it should hold at least {MIN_ROWS}"
        )
    categories = np.unique(headlines.labels)
    if len(categories) < 2:
        only = list(CATEGORIES)[int(categories[0])]
        raise JobError(
            f"{names}: all {len(headlines)} headlines are of CATEGORY {only}; "
            "there must be at least two categories to tell apart"
        )
