"""The folders that a job writes to."""

from __future__ import annotations

import tempfile

from byo_container.container.failure import JobError
from byo_container.container.paths import Paths


def prepare_output(paths: Paths) -> None:
    """Creates the output folders, and removes what an older job has left in them. Raises JobError."""
    for folder in (paths.output, paths.model, paths.output_data):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise JobError(f"{folder} cannot be written to: {error.strerror}; mount it writable") from None
    for path in (paths.failure, paths.success, paths.metrics, paths.summary, paths.report):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise JobError(f"{path}, of an older run, cannot be removed: {error.strerror}; remove it") from None


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A private folder for this job, removed after it. Raises JobError."""
    try:
        return tempfile.TemporaryDirectory(prefix="train-")
    except OSError as error:
        raise JobError(
            f"there is no folder to write temporary files to ({error.strerror}); mount one at /tmp, as by "
            "`docker run --tmpfs /tmp`, or let TMPDIR name one"
        ) from None
