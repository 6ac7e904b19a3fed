"""How the processes of this host ended, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from byo_container.container.failure import write_failure
from byo_container.container.files.reading import open_regular
from byo_container.container.log import log
from byo_container.container.paths import Paths
from byo_container.container.process.child import Child
from byo_container.training.cluster.protocol import HostResult
from byo_container.training.processes.rank import Ranks

MAX_FAILURE_BYTES = 64 * 1024
"""The part of a failure file that the other hosts get; the platform reads the first 1,024 characters."""


def result_of(children: Sequence[Child], ranks: Ranks, paths: Paths) -> HostResult:
    """The result of this host: by what a rank reported, or else by the first child that failed. The reason is written
    to the failure file too."""
    failure = ranks.failure()
    if failure:
        write_failure(paths.failure, failure.text)
        return HostResult(failure.status, failure.text)
    for child in sorted(children, key=lambda child: child.ended_at):
        if child.failed and child.status is not None:
            return HostResult(child.status or 1, _reason(child, paths))
    return HostResult(0)


def _reason(child: Child, paths: Paths) -> str:
    """Why a child failed: what it wrote to the failure file itself, as a handler's process does with its exception; or
    else what its status and output show, which is written there."""
    text = _read_failure(paths.failure)
    if text:
        log.error("failed: %s %s; its own reason is in %s", child.command.name, child.how_it_ended(), paths.failure)
        return text
    text = child.reason()
    write_failure(paths.failure, text)
    return text


def _read_failure(path: Path) -> str:
    """The contents of the failure file; empty where there is none or it cannot be read."""
    try:
        with open_regular(path) as stream:
            return stream.read(MAX_FAILURE_BYTES).decode("utf-8", "backslashreplace").strip()
    except OSError:
        return ""
