"""Folders that `save_to_disk` of the library datasets wrote: a data set, or a dictionary of its splits.

dataset_info.json, state.json     a data set, its rows in data-00000-of-00001.arrow (dataset.arrow by datasets 1)
dataset_dict.json                 a dictionary, a folder for each split
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.failure import JobError

if TYPE_CHECKING:
    from datasets import Dataset

STATE, INFO, DICTIONARY = "state.json", "dataset_info.json", "dataset_dict.json"
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev", "eval"),
    "test": ("test", "testing"),
}
"""What a channel may be called, and the split of a dictionary that belongs to it; the first that is there counts."""


def find(files: Sequence[Path], channel: str) -> Path | None:
    """The folder of the data set among the files of a channel; None where they are other files. Raises JobError."""
    dictionaries = {path.parent for path in files if path.name == DICTIONARY}
    folders = {path.parent for path in files if path.name in (STATE, INFO)}
    roots = sorted(dictionaries or folders)
    if not roots:
        arrow = next((path for path in files if path.suffix == ".arrow"), None)
        if arrow:
            raise JobError(
                f"channel {channel!r}: {arrow} has neither {STATE} nor {INFO} beside it; bring the whole folder that "
                "save_to_disk writes"
            )
        return None
    others = [path for path in files if not any(path.is_relative_to(root) for root in roots)]
    if others or len(roots) > 1:
        also = f"{len(roots)} saved data sets" if len(roots) > 1 else f"a saved data set ({roots[0]})"
        raise JobError(
            f"channel {channel!r} holds {also} and other files: {', '.join(map(str, [*roots[1:], *others][:5]))}; "
            "leave one data set, or a dictionary with the split's name"
        )
    return roots[0]


def split_names(folder: Path) -> tuple[str, ...] | None:
    """The names of the splits in a dictionary; None where `folder` holds one data set. Raises JobError."""
    path = folder / DICTIONARY
    if not path.is_file():
        return None
    names = _json(path).get("splits")
    if not (isinstance(names, list) and names):
        raise JobError(f"{path} has no list of splits; it should be as DatasetDict.save_to_disk writes it")
    return tuple(map(str, names))


def pick(folder: Path, channel: str) -> Path:
    """The folder of the data set that belongs to the channel. Raises JobError where a dictionary lacks it."""
    names = split_names(folder)
    if names is None:
        return folder
    wanted = next((names for names in SPLITS.values() if channel in names), (channel,))
    chosen = next((name for name in wanted if name in names), None)
    if chosen is None:
        raise JobError(
            f"channel {channel!r}: {folder} is a dictionary of the splits {', '.join(names)}; one should be called "
            f"{wanted[0]}, or the channel should hold one data set"
        )
    return folder / chosen


def load(folder: Path, channel: str) -> Dataset:
    """The data set with all its columns, as plain Python values. Nothing is written into `folder`. Raises JobError."""
    from datasets import Dataset

    for name in (STATE, INFO):
        if not (folder / name).is_file():
            raise JobError(f"channel {channel!r}: {folder} has no {name}; bring the whole folder of save_to_disk")
    with explained(f"channel {channel!r}: the data set in {folder}"):
        state = _json(folder / STATE)
        if state["_data_files"] == []:
            raise JobError(f"channel {channel!r}: the data set in {folder} has no rows")
        data = Dataset.load_from_disk(str(folder))
        data.data.table.validate(full=True)  # wrong offsets would crash the process
        if indices := state.get("_indices_data_files"):
            numbers = _indices([folder / each["filename"] for each in indices])
            data = data.select(numbers).flatten_indices(keep_in_memory=True)
        return data.with_format(None)


def _indices(paths: Sequence[Path]) -> list[int]:
    """The row numbers that the earliest releases save beside the rows, where these are a selection or shuffled."""
    import pyarrow as pa

    numbers: list[int] = []
    for path in paths:
        with path.open("rb") as stream:
            numbers += pa.ipc.open_stream(stream).read_all().column(0).to_pylist()
    return numbers


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError(f"{path} is damaged: {error}; save the data set anew") from error
    if not isinstance(value, dict):
        raise JobError(f"{path} is damaged: it should hold an object; save the data set anew")
    return value


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns what datasets and pyarrow raise for damaged files into a JobError that begins with `what`."""
    import pyarrow as pa

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, pa.ArrowException) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise JobError(
            f"{what} cannot be read: {reason}; the files are damaged or incomplete: bring them anew"
        ) from error
