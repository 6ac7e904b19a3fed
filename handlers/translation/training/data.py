"""A job's channels → prepared text. Each host prepares it once for all its ranks."""

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
from byo_container.handlers.translation.prepare import PrepareOptions, prepare
from byo_container.handlers.translation.preprocessing import corpus, prepared
from byo_container.handlers.translation.preprocessing.prepared import PreparedText
from byo_container.handlers.translation.training.distribution import Rank

CHANNELS = ("training", "train")
VALIDATION = ("validation", "valid")
SHARED = "TRAINING_RANKS"
"""The variable with a folder that the ranks of a host share; see training/processes/rank.py."""


@contextlib.contextmanager
def scratch(environ: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """A folder for prepared text that is removed after the job."""
    if environ.get(SHARED):
        yield Path(environ[SHARED])
        return
    with tempfile.TemporaryDirectory(prefix="translation-") as folder:
        yield Path(folder)


def prepared_text(job: TrainingJob[Any], settings: TrainingSettings, folder: Path) -> PreparedText:
    """The text in the job's channel. Plain text is prepared in `folder` first. Raises JobError."""
    channel = job.channel(next((name for name in CHANNELS if name in job.channels), CHANNELS[0]))
    files, where = _files(channel), f"channel {channel.name!r} ({channel.path})"
    source, target = settings.direction
    ready = prepared.find(files, source, target)
    if ready:
        _check_case(ready, settings)
        return ready
    text = corpus.find(files, source, target, settings.architecture, where)
    validation = next((job.channels[name] for name in VALIDATION if name in job.channels), None)
    if validation:
        languages = text.direction.source, text.direction.target
        given = corpus.find(_files(validation), *languages, where=f"channel {validation.name!r} ({validation.path})")
        text = replace(text, valid=given.valid or given.train)
    return _prepare_once(text, folder, settings)


def _check_case(ready: PreparedText, settings: TrainingSettings) -> None:
    if settings.own.lowercase and not ready.conventions.lowercase:
        raise JobError(
            f"lowercase is asked for, and {ready.dictionary(ready.direction.source)} has capital letters: binary text "
            "stays as it is; take lowercase back, or give plain text"
        )


def _prepare_once(text: corpus.Corpus, folder: Path, settings: TrainingSettings) -> PreparedText:
    """The first rank of this host to get here prepares the text; the others wait."""
    made = folder / "text"
    with (folder / "text.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            own = settings.own
            options = PrepareOptions(own.bpe_merges, own.lowercase, settings.shares_dictionary, cores())
            return prepare(text, made, options)
    ready = prepared.find(sorted(made.iterdir()), text.direction.source, text.direction.target)
    assert ready
    return ready


def _files(channel: Channel) -> list[Path]:
    if channel.mode == "Pipe":
        raise JobError(
            f"channel {channel.name!r} is in Pipe mode, which gives no names by which to tell languages apart; "
            "set its TrainingInputMode to File or FastFile"
        )
    return channel.files()


def check_same(data: PreparedText, rank: Rank) -> str:
    """The fingerprint of the data. Raises JobError on all ranks where these have different data."""
    own_fingerprint = data.fingerprint()
    everyone = rank.gather(own_fingerprint)
    if len(set(everyone)) > 1:
        others = [number for number, fingerprint in enumerate(everyone) if fingerprint != everyone[0]]
        raise JobError(
            f"ranks {', '.join(map(str, others))} have other training text than rank 0; every host needs all of it: "
            "set the channel's S3DataDistributionType to FullyReplicated"
        )
    return own_fingerprint
