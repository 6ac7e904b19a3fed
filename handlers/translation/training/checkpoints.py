"""Checkpoints that a job resumes from, and the export of the best one."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

from byo_container.container.checkpoints import refuse_others
from byo_container.container.files.atomic import write_atomically
from byo_container.container.files.json_object import read_object
from byo_container.container.log import log

LAST, BEST = "checkpoint_last.pt", "checkpoint_best.pt"
RUN = "run.json"
"""The file that says which job the checkpoints belong to; see `claim`."""
DIFFERENCES = {
    "data": "were made from other text, or from text prepared otherwise",
    "direction": "translate in another direction",
    "architecture": "are of another architecture",
    "ranks": "were made by another number of ranks, so that the place in the data which they note does not fit",
}
SETTINGS = "settings"
NOT_EXPORTED = ("last_optimizer_state",)


def claim(folder: Path, run: dict[str, Any], settings: dict[str, Any], resets: bool = False) -> None:
    """Claims the folder for a job. `run` holds data, direction, architecture and ranks; `settings` what it must not
    change when it resumes (see run_identity.py), which is not compared where it `resets` them. Raises JobError where
    there are checkpoints of another job: to resume from them would train nonsense, or export the other model."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.tmp"):  # of a run that was killed while writing
        path.unlink()
    _repair(folder)
    run_file = folder / RUN
    if (folder / LAST).exists() and run_file.exists():
        before = read_object(run_file)
        refuse_others(folder, {**run, **before}, run, DIFFERENCES)
        if not resets:
            _refuse_other_settings(folder, before.get(SETTINGS), settings)
    write_atomically(run_file, json.dumps({**run, SETTINGS: settings}, indent=2) + "\n")


def _refuse_other_settings(folder: Path, before: Any, now: dict[str, Any]) -> None:
    """A file of an earlier release has no settings, or lacks those that are new since."""
    if isinstance(before, dict):
        refuse_others(folder, {**now, **before}, now, {name: f"were made with another {name}" for name in now})


def _repair(folder: Path) -> None:
    """Replaces a truncated last checkpoint, as an interrupted upload may leave it, by the newest complete one."""
    last = folder / LAST
    if not last.exists() or zipfile.is_zipfile(last):
        return
    complete = [path for path in folder.glob("checkpoint*.pt") if path != last and zipfile.is_zipfile(path)]
    newest = max(complete, key=lambda path: path.stat().st_mtime, default=None)
    log.warning("%s is damaged; training goes on from %s", last, newest.name if newest else "the beginning")
    if newest:
        building = last.with_name(f"{LAST}.tmp")
        shutil.copyfile(newest, building)
        building.replace(last)
    else:
        last.unlink()


def best(folder: Path) -> Path | None:
    """The checkpoint to export: the best one, or the last without validation."""
    return next((folder / name for name in (BEST, LAST) if (folder / name).is_file()), None)


def export(checkpoint: Path, path: Path) -> dict[str, Any]:
    """Writes `checkpoint` to `path` atomically, without what only training needs. Returns facts about it."""
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    kept = {name: value for name, value in state.items() if name not in NOT_EXPORTED}
    # fairseq saves in single precision, whatever it trains in; a server may support nothing else.
    for name in ("fp16", "bf16", "amp", "memory_efficient_fp16", "memory_efficient_bf16"):
        kept["cfg"]["common"][name] = False
    _clear_folders(kept["cfg"])
    building = path.with_name(f".{path.name}.new")
    with building.open("wb") as stream:
        torch.save(kept, stream)
        stream.flush()
        os.fsync(stream.fileno())
    building.replace(path)
    return {"updates": int(state["optimizer_history"][-1]["num_updates"]), "parts": sorted(state)}


def _clear_folders(settings: Any) -> None:
    """Removes this machine's folders from fairseq's settings: dictionaries and, for older models, namespaces in
    them."""
    values = vars(settings) if isinstance(settings, argparse.Namespace) else settings
    for name, value in values.items():
        if name in ("data", "save_dir"):
            values[name] = ""
        elif isinstance(value, dict | argparse.Namespace):
            _clear_folders(value)


def sizes(folder: Path) -> dict[str, int]:
    """The checkpoint files and their bytes."""
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*.pt"))}
