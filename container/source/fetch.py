"""Copies a user's code into a folder: from a folder, an archive or a file, on this machine or in S3."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from byo_container.container.aws import s3
from byo_container.container.failure import JobError, explain_full
from byo_container.container.files.archives import unpack
from byo_container.container.files.disk_errors import copy_error
from byo_container.container.log import log

ARCHIVES = (".tar.gz", ".tgz", ".tar")


def fetch(
    source: str,
    code: Path,
    region: str | None = None,
    name: str = "sagemaker_submit_directory",
    otherwise: str = s3.OTHERWISE,
) -> None:
    """Copies `source` to the folder `code`, unless that holds something already.

    `source` is a folder, a tar archive or a single file: a path, a file:// or an s3:// address. `name` is the setting
    that the source comes from, and `otherwise` says how to do without S3. Raises JobError.
    """
    code.mkdir(parents=True, exist_ok=True)
    if any(code.iterdir()):
        return
    if source.startswith(s3.SCHEME):
        with tempfile.TemporaryDirectory(prefix="code-") as scratch:  # readable by this user only
            unpack_or_copy(s3.download(source, Path(scratch), region, otherwise=otherwise), code, source)
        return
    path = local_path(source, name)
    if path.resolve() == code.resolve():
        return
    if not (path.is_dir() or path.is_file()):
        raise JobError(f"{name} is {source!r}, where there is neither a folder nor a file")
    if code.resolve().is_relative_to(path.resolve()):
        raise JobError(f"{name} is {source!r}, which holds {code}, the place for its copy")
    unpack_or_copy(path, code, str(path))


def unpack_or_copy(path: Path, code: Path, label: str) -> None:
    """Unpacks or copies what is at `path` into the empty folder `code`, which is empty again after an error. `label` is
    what error messages call the source. Raises JobError."""
    try:
        if path.is_dir():
            shutil.copytree(path, code, dirs_exist_ok=True, ignore=_broken_links)
        elif path.name.endswith(ARCHIVES) or tarfile.is_tarfile(path):
            unpack(path, code, label)
        else:
            shutil.copy2(path, code)
    except BaseException as error:
        _empty(code)  # the next run would take half of the code for all of it
        if isinstance(error, OSError):
            raise JobError(explain_full(f"{label} cannot be copied to {code}: {copy_error(error)}")) from None
        raise


def _broken_links(folder: str, names: list[str]) -> list[str]:
    """The symbolic links to nothing, such as an editor's lock files. They are left out of the copy."""
    paths = [Path(folder, name) for name in names]
    broken = [path for path in paths if path.is_symlink() and not path.exists()]
    for path in broken:
        log.warning("%s is a link to %s, where there is nothing: left out", path, path.readlink())
    return [path.name for path in broken]


def local_path(source: str, name: str = "sagemaker_submit_directory") -> Path:
    """The path that a path or a file:// address names. Raises JobError for any other address."""
    if "://" not in source:
        return Path(source)
    address = urlsplit(source)
    if address.scheme != "file" or address.netloc not in ("", "localhost"):
        raise JobError(
            f"{name} is {source!r}; code comes from a path or from an address such as "
            "s3://bucket/job/sourcedir.tar.gz or file:///opt/ml/input/data/code/sourcedir.tar.gz"
        )
    return Path(url2pathname(address.path))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
