"""Messages of errors of the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.container.files.disk_errors import copy_error, disk_errors_explained


def test_copy_error_has_the_first_reasons_of_copytree_with_their_files() -> None:
    faults = [(f"/code/{n}", f"/model/{n}", "[Errno 28] No space left on device") for n in range(5)]
    faults[1] = ("/code/1", "/model/1", "[Errno 13] Permission denied: '/code/1'")
    assert copy_error(shutil.Error(faults)) == (
        "[Errno 28] No space left on device (/code/0); [Errno 13] Permission denied: '/code/1'; "
        "[Errno 28] No space left on device (/code/2); and 2 more"
    )


def test_copy_error_of_any_other_exception(tmp_path: Path) -> None:
    assert copy_error(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"
    assert copy_error(shutil.SameFileError("same")) == "same"
    assert copy_error(ValueError("embedded null byte")) == "ValueError: embedded null byte"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "x"), "the disk is full; free some space"),
        (RuntimeError("HDF5 cannot write: errno = 28, message"), "the disk is full"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 21 vs 20"), "the disk is full"),
        (OSError(13, "x"), "Permission denied; it should be a folder in which this user"),
    ],
)
def test_disk_errors_say_what_to_do(tmp_path: Path, error: Exception, said: str) -> None:
    with pytest.raises(JobError, match=f"cannot write to {tmp_path}: {said}"), disk_errors_explained(tmp_path):
        raise error


def test_other_errors_are_not_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shapes"), disk_errors_explained(tmp_path):
        raise ValueError("shapes do not match")
