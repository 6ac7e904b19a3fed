"""Folders as `save_to_disk` of datasets 1.13.3 wrote them, by hand: that release needs an older Python."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KINDS: dict[str, dict[str, Any]] = {
    "text": {"dtype": "string", "id": None, "_type": "Value"},
    "input_ids": {
        "feature": {"dtype": "int32", "id": None, "_type": "Value"}, "length": -1, "id": None, "_type": "Sequence"
    },
    "attention_mask": {
        "feature": {"dtype": "int8", "id": None, "_type": "Value"}, "length": -1, "id": None, "_type": "Sequence"
    },
}  # fmt: skip


def save(
    folder: Path,
    columns: dict[str, list[Any]],
    names: Sequence[str] | None = None,
    torch: bool = False,
    indices: Sequence[int] | None = None,
) -> Path:
    """`names` are those of the column label; `torch` as `set_format` of the notebook leaves it; `indices` as a
    selection is saved: all rows, and beside them which are chosen."""
    import pyarrow as pa

    names = names or [str(number) for number in range(6)]  # what ClassLabel(num_classes=6) comes to
    classes = {"num_classes": len(names), "names": names, "names_file": None, "id": None}
    kinds = KINDS | {"label": classes | {"_type": "ClassLabel"}}
    types = {"text": pa.string(), "label": pa.int64()}
    types |= {"input_ids": pa.list_(pa.int32()), "attention_mask": pa.list_(pa.int8())}
    folder.mkdir(parents=True)
    _write(folder / "dataset.arrow", pa.table({name: pa.array(columns[name], types[name]) for name in columns}))
    if indices is not None:
        _write(folder / "indices.arrow", pa.table({"indices": pa.array(indices, pa.uint64())}))
    nothing: tuple[str, ...] = (
        "builder_name",
        "config_name",
        "dataset_size",
        "download_checksums",
        "download_size",
        "post_processed",
    )
    nothing += ("post_processing_size", "size_in_bytes", "splits", "supervised_keys", "task_templates", "version")
    info = {**dict.fromkeys(nothing), "citation": "", "description": "", "homepage": "", "license": ""}
    _write_json(folder / "dataset_info.json", info | {"features": {name: kinds[name] for name in columns}})
    state: dict[str, Any] = {
        "_data_files": [{"filename": "dataset.arrow"}],
        "_fingerprint": "5bfb1ff1d59c8f6a",
        "_format_columns": [name for name in columns if name != "text"] if torch else None,
        "_format_kwargs": {},
        "_format_type": "torch" if torch else None,
        "_indexes": {},
        "_indices_data_files": None if indices is None else [{"filename": "indices.arrow"}],
        "_output_all_columns": False,
        "_split": None,
    }
    _write_json(folder / "state.json", state)
    return folder


def _write(path: Path, table: Any) -> None:
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True), encoding="utf-8")
