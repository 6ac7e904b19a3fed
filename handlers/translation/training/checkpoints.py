"""Checkpoints: what a job resumes from, and what of the best one the model is."""

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
"""What a checkpoint goes with; see `claim`."""
MEANINGS = {
    "data": "were made from other text, or from text prepared otherwise",
    "direction": "translate in another direction",
    "architecture": "are of another architecture",
    "ranks": "were made by another number of ranks, so that the place in the data which they note does not fit",
}
SETTINGS = "settings"
NOT_IN_A_MODEL = ("last_optimizer_state",)


def claim(folder: Path, run: dict[str, Any], settings: dict[str, Any], starts_over: bool = False) -> None:
    """Takes the folder for a job of which `run` tells data, direction, architecture and ranks, and `settings` what it
    must not change when it resumes (see identity.py). Raises JobError where there are checkpoints of another job: one
    that resumed from them would train nonsense, or leave the other's model. Where it `starts_over` from them with
    settings of its own, these are not compared."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.tmp"):  # of a run that was killed while it wrote
        path.unlink()
    _mend(folder)
    note = folder / RUN
    if (folder / LAST).exists() and note.exists():
        noted = read_object(note)
        refuse_others(folder, {**run, **noted}, run, MEANINGS)
        if not starts_over:
            _refuse_other_settings(folder, noted.get(SETTINGS), settings)
    write_atomically(note, json.dumps({**run, SETTINGS: settings}, indent=2) + "\n")


def _refuse_other_settings(folder: Path, before: Any, now: dict[str, Any]) -> None:
    """A note of an earlier release has no settings; what is new since is not in it."""
    if isinstance(before, dict):
        refuse_others(folder, {**now, **before}, now, {name: f"were made with another {name}" for name in now})


def _mend(folder: Path) -> None:
    """Where the last checkpoint is cut off, as a carrier may leave it, the newest whole one takes its place."""
    last = folder / LAST
    if not last.exists() or zipfile.is_zipfile(last):
        return
    whole = [path for path in folder.glob("checkpoint*.pt") if path != last and zipfile.is_zipfile(path)]
    newest = max(whole, key=lambda path: path.stat().st_mtime, default=None)
    log.warning("%s is damaged; training goes on from %s", last, newest.name if newest else "the beginning")
    if newest:
        building = last.with_name(f"{LAST}.tmp")
        shutil.copyfile(newest, building)
        building.replace(last)
    else:
        last.unlink()


def best(folder: Path) -> Path | None:
    """The checkpoint that becomes the model: the best one, or the last where nothing was measured."""
    return next((folder / name for name in (BEST, LAST) if (folder / name).is_file()), None)


def export(checkpoint: Path, path: Path) -> dict[str, Any]:
    """Writes `checkpoint` to `path` without what only training needs, whole or not at all. Gives facts about it."""
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    kept = {name: value for name, value in state.items() if name not in NOT_IN_A_MODEL}
    # fairseq saves in single precision whatever it trains in; whoever serves may have nothing else.
    for name in ("fp16", "bf16", "amp", "memory_efficient_fp16", "memory_efficient_bf16"):
        kept["cfg"]["common"][name] = False
    _forget_folders(kept["cfg"])
    building = path.with_name(f".{path.name}.new")
    with building.open("wb") as stream:
        torch.save(kept, stream)
        stream.flush()
        os.fsync(stream.fileno())
    building.replace(path)
    return {"updates": int(state["optimizer_history"][-1]["num_updates"]), "parts": sorted(state)}


def _forget_folders(settings: Any) -> None:
    """Takes this machine's folders out of fairseq's settings, which are dictionaries and, for older networks,
    namespaces in them."""
    values = vars(settings) if isinstance(settings, argparse.Namespace) else settings
    for name, value in values.items():
        if name in ("data", "save_dir"):
            values[name] = ""
        elif isinstance(value, dict | argparse.Namespace):
            _forget_folders(value)


def sizes(folder: Path) -> dict[str, int]:
    """The checkpoint files and their bytes."""
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*.pt"))}
