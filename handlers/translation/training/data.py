"""A job's channels → what its ranks train on. Each host makes it for itself, once for all its ranks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.resources import cores
from byo_container.handlers.translation.hyperparameters import TrainingSettings
from byo_container.handlers.translation.prepare import Recipe, prepare
from byo_container.handlers.translation.preprocessing import corpus, prepared
from byo_container.handlers.translation.preprocessing.prepared import Prepared
from byo_container.handlers.translation.training.distribution import Rank

CHANNELS = ("training", "train")
VALIDATION = ("validation", "valid")
SHARED = "TRAINING_RANKS"
"""The variable that names a folder which a host's ranks share; see training/processes/rank.py."""


@contextlib.contextmanager
def scratch(environ: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """A folder for prepared text, which ends with the job."""
    if environ.get(SHARED):
        yield Path(environ[SHARED])
        return
    with tempfile.TemporaryDirectory(prefix="translation-") as folder:
        yield Path(folder)


def find(job: TrainingJob[Any], settings: TrainingSettings, folder: Path) -> Prepared:
    """What is in the job's channel, prepared in `folder` where it is plain text. Raises JobError."""
    channel = job.channel(next((name for name in CHANNELS if name in job.channels), CHANNELS[0]))
    files, where = _files(channel), f"channel {channel.name!r} ({channel.path})"
    source, target = settings.direction
    ready = prepared.find(files, source, target)
    if ready:
        _check_case(ready, settings)
        return ready
    text = corpus.find(files, source, target, settings.architecture, where)
    held_out = next((job.channels[name] for name in VALIDATION if name in job.channels), None)
    if held_out:
        languages = text.direction.source, text.direction.target
        found = corpus.find(_files(held_out), *languages, where=f"channel {held_out.name!r} ({held_out.path})")
        text = replace(text, valid=found.valid or found.train)
    return _prepare_once(text, folder, settings)


def _check_case(ready: Prepared, settings: TrainingSettings) -> None:
    if settings.own.lowercase and not ready.conventions.lowercase:
        raise JobError(
            f"lowercase is asked for, and {ready.dictionary(ready.direction.source)} has capital letters: binary text "
            "stays as it is; take lowercase back, or give plain text"
        )


def _prepare_once(text: corpus.Corpus, folder: Path, settings: TrainingSettings) -> Prepared:
    """By the first of this host's ranks that comes here; the others wait."""
    made = folder / "text"
    with (folder / "text.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            own = settings.own
            recipe = Recipe(own.bpe_merges, own.lowercase, settings.shares_dictionary, cores())
            return prepare(text, made, recipe)
    found = prepared.find(sorted(made.iterdir()), text.direction.source, text.direction.target)
    assert found
    return found


def _files(channel: Channel) -> list[Path]:
    if channel.mode == "Pipe":
        raise JobError(
            f"channel {channel.name!r} is in Pipe mode, which gives no names by which to tell languages apart; "
            "set its TrainingInputMode to File or FastFile"
        )
    return channel.files()


def check_same(data: Prepared, rank: Rank) -> str:
    """The fingerprint of the data, which must be that of all ranks. Raises JobError on all where it is not."""
    mine = data.fingerprint()
    everyone = rank.gather(mine)
    if len(set(everyone)) > 1:
        others = [number for number, theirs in enumerate(everyone) if theirs != everyone[0]]
        raise JobError(
            f"ranks {', '.join(map(str, others))} have other training text than rank 0; every host needs all of it: "
            "set the channel's S3DataDistributionType to FullyReplicated"
        )
    return mine
