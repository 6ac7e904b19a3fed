"""The files of one channel → its rows: a saved data set, Parquet, or text files of one kind."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.preprocessing import columns, saved_datasets, text_files
from byo_container.handlers.text_classification.preprocessing.rows import (
    TEXT,
    TOKEN_COLUMNS,
    TOKENS,
    Place,
    Rows,
    listed,
    shortened,
)
from byo_container.handlers.text_classification.preprocessing.text_files import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

PARQUET = ".parquet"
CONTENT_TYPES = {"text/csv": ".csv", "application/jsonlines": ".jsonl", "application/json": ".json"}
"""What a stream in Pipe mode holds, as the ending of a file's name; what it begins with tells otherwise."""
BESIDE = ("readme", "license", "_success", "_common_metadata", "_metadata")
"""The beginnings of names of files that say something about data and hold none."""


def read(channel: Channel) -> Rows:
    """The rows of a channel. Raises JobError that names channel, file and line, row or column."""
    if channel.mode == "Pipe":
        ending = CONTENT_TYPES.get(channel.content_type or "", ".txt")
        return _of_tables(
            channel.name, [_read_bytes(stream.read(), name, ending) for name, stream in channel.streams()]
        )
    files = [path for path in channel.files() if not path.name.lower().startswith(BESIDE)]
    if not files:
        raise JobError(f"channel {channel.name!r} ({channel.path}) holds no file; it should hold {_kinds()}")
    return read_files(files, channel.name)


def read_files(files: Sequence[Path], channel: str) -> Rows:
    """The rows of a channel's files. Raises JobError."""
    if folder := saved_datasets.find(files, channel):
        return read_saved(saved_datasets.pick(folder, channel), channel)
    if _kind(files, channel) == PARQUET:
        return _read_parquet(files, channel)
    return _of_tables(channel, [_read_bytes(path.read_bytes(), str(path), path.suffix.lower()) for path in files])


def _kinds() -> str:
    return f"a data set that save_to_disk wrote, or files {', '.join([*text_files.READERS, PARQUET])}"


def _kind(files: Sequence[Path], channel: str) -> str:
    """The ending that the names of all files have."""
    by_kind = {path.suffix.lower(): path for path in reversed(files)}
    known = (*text_files.READERS, PARQUET)
    for ending, path in by_kind.items():
        if ending not in known:
            raise JobError(f"channel {channel!r}: {path} is of no kind that is known here; it should be {_kinds()}")
    if len(by_kind) > 1:
        raise JobError(
            f"channel {channel!r} holds files of several kinds, such as "
            f"{', '.join(map(str, sorted(by_kind.values())))}; leave those of one kind"
        )
    return next(iter(by_kind))


def _read_bytes(content: bytes, name: str, ending: str) -> Table:
    return text_files.READERS[ending](text_files.decode(content, name), name)


def _of_tables(channel: str, tables: Sequence[Table]) -> Rows:
    """The rows of all files, one after the other."""
    from datasets import Dataset

    places = [table.name for table in tables]
    numbers = [table.lines for table in tables]
    place = _places(places, numbers, "line")
    texts: list[Any] = []
    labels: list[Any] = []
    for table in tables:
        where = f"channel {channel!r}: {table.name}"
        text = columns.find_text(list(table.columns), where)
        label = columns.find_label(list(table.columns), where)
        if text is None:
            raise JobError(f"{where} holds token ids; tokenised texts should come as save_to_disk or Parquet has them")
        texts += table.columns[text]
        labels += table.columns[label]
    check_texts(texts, place, channel)
    try:
        data = Dataset.from_dict({TEXT: texts})
        "".join(map(str, labels)).encode()
    except UnicodeEncodeError as error:  # JSON can write half of a pair of surrogates
        row = next(row for row in range(len(texts)) if not _is_unicode(f"{texts[row]}{labels[row]}"))
        raise JobError(f"channel {channel!r}: {place(row)} has a text or label that is not Unicode: {error}") from error
    return Rows(channel, data, labels, None, place)


def _is_unicode(text: str) -> bool:
    return text.encode(errors="replace").decode() == text


def _places(names: Sequence[str], numbers: Sequence[Sequence[int]], unit: str) -> Place:
    """Where the rows of several files stand; `numbers` has those of each file."""
    ends = list(itertools.accumulate(map(len, numbers)))

    def place(row: int) -> str:
        file = bisect.bisect_right(ends, row)
        return f"{names[file]}, {unit} {numbers[file][row - (ends[file - 1] if file else 0)]}"

    return place


def _read_parquet(files: Sequence[Path], channel: str) -> Rows:
    import pyarrow.parquet as pq
    from datasets import Dataset, concatenate_datasets

    parts = []
    for path in files:
        with saved_datasets.explained(f"channel {channel!r}: {path}"):
            # Features that datasets wrote into the file's metadata, such as ClassLabel, are kept.
            parts.append(Dataset(_plain(pq.read_table(path))))
    place = _places([str(path) for path in files], [range(1, len(part) + 1) for part in parts], "row")
    for path, part in zip(files, parts, strict=True):
        if part.features != parts[0].features:
            raise JobError(
                f"channel {channel!r}: the columns of {path} ({_described(part)}) differ from those of {files[0]} "
                f"({_described(parts[0])}); they should be the same"
            )
    return _of_dataset(concatenate_datasets(parts), channel, f"channel {channel!r}: {files[0]}", place)


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, as which pandas writes its categories. Raises ArrowInvalid for what is damaged."""
    import pyarrow as pa

    table.validate(full=True)
    kinds = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in table.schema.types]
    names = zip(table.schema.names, kinds, strict=True)
    return table.cast(pa.schema(list(names), table.schema.metadata))


def _described(data: Dataset) -> str:
    return ", ".join(f"{name}: {getattr(kind, 'dtype', kind)}" for name, kind in data.features.items())


def read_saved(folder: Path, channel: str) -> Rows:
    """The rows of the data set in `folder`. Raises JobError."""
    data = saved_datasets.load(folder, channel)
    return _of_dataset(data, channel, f"channel {channel!r}: {folder}", lambda row: f"{folder}, row {row + 1}")


def _of_dataset(data: Dataset, channel: str, where: str, place: Place) -> Rows:
    if not len(data):
        raise JobError(f"{where} has no rows")
    text = columns.find_text(data.column_names, where)
    named = {name: names for name, feature in data.features.items() if (names := _names(feature))}
    labelled = [name for name in named if columns.recognised(name, columns.LABELS)]
    label = columns.find_label(labelled or data.column_names, where)
    with saved_datasets.explained(where):
        labels = data.with_format("arrow")[:][label].to_pylist()
        kept = {name: name for name in TOKEN_COLUMNS if name in data.column_names}
        if text is not None:
            _check_text_column(data.features[text], where, text)
            check_texts(data.with_format("arrow")[:][text].to_pylist(), place, channel)
            kept = {text: TEXT} | kept
        if TOKENS in kept:
            _check_numbers_columns(data, where)
        data = data.select_columns(list(kept)).rename_columns(kept) if kept else data
    return Rows(channel, data, labels, named.get(label), place)


def _names(feature: Any) -> tuple[str, ...] | None:
    """The names of a ClassLabel; None where they are but the numbers, or it is something else."""
    from datasets import ClassLabel

    names = tuple(map(str, feature.names or ())) if isinstance(feature, ClassLabel) else ()
    return None if names == tuple(map(str, range(len(names)))) else names


def _check_text_column(feature: Any, where: str, column: str) -> None:
    kind = getattr(feature, "dtype", feature)
    if kind not in ("string", "large_string"):
        raise JobError(f"{where}: the column {column!r} should have texts (string), and has {kind}")


def _check_numbers_columns(data: Dataset, where: str) -> None:
    """input_ids and what belongs to them; a mask may be of bools."""
    for name in TOKEN_COLUMNS:
        if name not in data.column_names:
            continue
        inner = getattr(data.features[name], "feature", None)
        kind = data.features[name] if inner is None else getattr(inner, "dtype", inner)
        if inner is None or not str(kind).startswith(("int", "uint") if name == TOKENS else ("int", "uint", "bool")):
            raise JobError(
                f"{where}: the column {name!r} should have lists of whole numbers (int32, int64), and has {kind}"
            )


def check_texts(texts: Sequence[Any], place: Place, channel: str) -> None:
    """Raises JobError where a text is missing, blank, or something else."""
    _refuse([row for row, text in enumerate(texts) if text is None], "has no text", place, channel)
    wrong = [row for row, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        value = shortened(str(texts[wrong[0]]))
        _refuse(wrong, f"has {value} ({type(texts[wrong[0]]).__name__}) in place of a text", place, channel)
    _refuse([row for row, text in enumerate(texts) if not text.strip()], "has an empty text", place, channel)


def _refuse(rows: Sequence[int], fault: str, place: Callable[[int], str], channel: str) -> None:
    if rows:
        more = f" (so have {len(rows) - 1:,} more: {listed([place(row) for row in rows[1:]], 4)})" if rows[1:] else ""
        raise JobError(f"channel {channel!r}: {place(rows[0])} {fault}{more}; each row should have a text and a label")
