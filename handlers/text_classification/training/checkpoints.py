"""Checkpoints from which a job goes on as if it had not been interrupted.

Each is a folder of Hugging Face's, checkpoint-STEP. The platform copies /opt/ml/checkpoints to S3 file by file, so that
a folder may come back in part: complete.json is written last, names all files with their sizes and digests, and says
which job they belong to. A folder without it, or which it does not describe, is no checkpoint.

Only rank 0 writes. The first rank of each other host gets the files from it before training goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from byo_container.container.checkpoints import refuse_others
from byo_container.container.files import digest
from byo_container.container.files.atomic import write_atomically
from byo_container.container.log import log

COMPLETE = "complete.json"
NAME = re.compile(r"checkpoint-(\d+)")


def path_of(folder: Path, step: int) -> Path:
    """The folder of a checkpoint."""
    return folder / f"checkpoint-{step}"


def complete(checkpoint: Path, run: Mapping[str, Any]) -> None:
    """Marks a checkpoint as complete, of the job `run`. Raises OSError."""
    files = {}
    for path in sorted(checkpoint.iterdir()):
        if path.name != COMPLETE:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
            files[path.name] = [path.stat().st_size, digest.of_files([path])]
    write_atomically(checkpoint / COMPLETE, json.dumps({"run": run, "files": files}, indent=2) + "\n")


def begin(folder: Path, step: int) -> Path:
    """The folder for a new checkpoint, empty: one of this name is none any more, from its first file on."""
    path = path_of(folder, step)
    (path / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def newest(folder: Path, run: Mapping[str, Any], meanings: Mapping[str, str]) -> Path | None:
    """The newest complete checkpoint. Warns of those that are damaged. Raises JobError where it is another job's; see
    `refuse_others`."""
    for path in newest_first(folder):
        before = read(path)
        if isinstance(before, str):
            log.warning("%s is not used: %s", path, before)
            continue
        refuse_others(folder, before, run, meanings)
        return path
    return None


def newest_first(folder: Path) -> Iterator[Path]:
    """The folders that are called like checkpoints."""
    names = os.listdir(folder) if folder.is_dir() else []
    steps = sorted((int(match[1]) for match in map(NAME.fullmatch, names) if match), reverse=True)
    return (path_of(folder, step) for step in steps)


def read(checkpoint: Path) -> dict[str, Any] | str:
    """The job that a checkpoint belongs to, or why it is none."""
    try:
        described = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
        files, run = described["files"], described["run"]
        for name, (size, expected) in files.items():
            path = checkpoint / Path(name).name
            if path.stat().st_size != size or digest.of_files([path]) != expected:
                return f"{name} is damaged, or not copied completely"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing, so it was not saved or copied completely"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{COMPLETE} cannot be read: {error!r}"
    return run if isinstance(run, dict) else f"{COMPLETE} cannot be read: run is {run!r}"


def rotate(folder: Path, keep: int, best_step: int | None) -> None:
    """Removes all but the newest `keep` checkpoints and the best one."""
    for path in list(newest_first(folder))[keep:]:
        if best_step is None or path != path_of(folder, best_step):
            (path / COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)


def remove_incomplete(folder: Path) -> None:
    """Removes what a run that was killed has left, which would fill the disk in time."""
    for path in newest_first(folder):
        if not (path / COMPLETE).exists():
            shutil.rmtree(path, ignore_errors=True)
