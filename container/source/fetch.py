"""Brings a user's code into a folder: from a folder, an archive or a file, of this machine or in S3."""

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
from byo_container.container.log import log

ARCHIVES = (".tar.gz", ".tgz", ".tar")


def fetch(
    source: str,
    code: Path,
    region: str | None = None,
    name: str = "sagemaker_submit_directory",
    otherwise: str = s3.OTHERWISE,
) -> None:
    """Brings the code to the folder `code`, unless something is there already: a folder, a tar archive or a single
    file, by path, file:// or s3:// address. `name` is what told the source, `otherwise` how to do without S3. Raises
    JobError."""
    code.mkdir(parents=True, exist_ok=True)
    if any(code.iterdir()):
        return
    if source.startswith(s3.SCHEME):
        with tempfile.TemporaryDirectory(prefix="code-") as scratch:  # for nobody else's eyes
            bring(s3.download(source, Path(scratch), region, otherwise=otherwise), code, source)
        return
    path = local_path(source, name)
    if path.resolve() == code.resolve():
        return
    if not (path.is_dir() or path.is_file()):
        raise JobError(f"{name} is {source!r}, where there is neither a folder nor a file")
    if code.resolve().is_relative_to(path.resolve()):
        raise JobError(f"{name} is {source!r}, which holds {code}, the place for its copy")
    bring(path, code, str(path))


def bring(path: Path, code: Path, called: str) -> None:
    """Copies or unpacks what is at `path`, for people `called` so, into the empty folder `code`. Raises JobError."""
    try:
        if path.is_dir():
            shutil.copytree(path, code, dirs_exist_ok=True, ignore=_links_to_nothing)
        elif path.name.endswith(ARCHIVES) or tarfile.is_tarfile(path):
            unpack(path, code, called)
        else:
            shutil.copy2(path, code)
    except BaseException as error:
        _empty(code)  # half of the code would pass for all of it in the next run
        if isinstance(error, OSError):
            why = _told(error) if isinstance(error, shutil.Error) else str(error)
            raise JobError(explain_full(f"{called} cannot be copied to {code}: {why}")) from None
        raise


def _links_to_nothing(folder: str, names: list[str]) -> list[str]:
    """The links that lead nowhere, such as an editor's locks, without which the code can do."""
    found = [name for name in names if not (path := Path(folder, name)).exists() and path.is_symlink()]
    for name in found:
        log.warning(
            "%s is a link to %s, where there is nothing: left out", Path(folder, name), Path(folder, name).readlink()
        )
    return found


def _told(error: shutil.Error) -> str:
    """The first few of what copytree could not copy; it goes on to the end, and gathers what went wrong."""
    faults = [f"{source}: {reason}" for source, _, reason in error.args[0]]
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return "; ".join(faults[:3]) + more


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
