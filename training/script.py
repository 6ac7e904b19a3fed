"""Script mode: a user's own training code, started as sagemaker-training-toolkit starts it.

The code imports nothing of ours; it gets the SM_* variables and its hyperparameters as arguments.
"""

from __future__ import annotations

import gzip
import lzma
import os
import shlex
import shutil
import sys
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from container.environment import sm_variables, to_arguments
from container.failure import JobError
from container.job import TrainingJob
from container.log import log
from container.paths import Paths
from container.process import Command

DEFAULT_PROGRAM = "train.py"
ARCHIVES = (".tar.gz", ".tgz", ".tar")
Kind = Literal["script", "package", "command"]


@dataclass(frozen=True)
class TrainingScript:
    """The program (`train.py`, relative to /opt/ml/code) and where its code comes from."""

    program: str
    source: str


def find(job: TrainingJob[Any], environ: Mapping[str, str] = os.environ) -> TrainingScript | None:
    """The script that a job asks for: SAGEMAKER_PROGRAM, `sagemaker_program`, or a train.py that lies in
    /opt/ml/code while nobody names a handler."""
    source = str(job.platform.get("sagemaker_submit_directory") or job.paths.code)
    program = environ.get("SAGEMAKER_PROGRAM") or job.platform.get("sagemaker_program")
    if program:
        return TrainingScript(str(program), source)
    names_handler = job.handler_name or environ.get("MODEL_HANDLER")
    if not names_handler and (job.paths.code / DEFAULT_PROGRAM).is_file():
        return TrainingScript(DEFAULT_PROGRAM, source)
    return None


def prepare(script: TrainingScript, job: TrainingJob[Any]) -> list[Command]:
    """What is to be run, one after another: pip where the code asks for it, then the program itself.

    Brings the code to /opt/ml/code first. Raises JobError where the code or the program is not there.
    """
    code = job.paths.code
    fetch(script.source, code)
    kind = kind_of(script.program, code)
    program = code / script.program
    # A package's program is a module, which may lie anywhere that its setup.py knows.
    if kind != "package" and not (program.is_file() and program.resolve().is_relative_to(code.resolve())):
        there = ", ".join(sorted(path.name for path in code.iterdir())[:10]) or "nothing"
        raise JobError(f"the program {script.program!r} is not in {code} (from {script.source}), which holds {there}")
    if kind == "command" and not os.access(program, os.X_OK):
        program.chmod(0o755)
    env = sm_variables(job, script.program, script.source)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")]))
    run = Command(command_line(script.program, kind, job.hyperparameters), script.program, env, code)
    log.info("script mode: %s", shlex.join(run.argv))
    return [*installs(kind, code), run]


def kind_of(program: str, code: Path) -> Kind:
    """A shell script is run, a folder with setup.py is installed as a package, Python is run by Python."""
    if program.endswith(".sh"):
        return "command"
    if (code / "setup.py").is_file():
        return "package"
    return "script" if program.endswith(".py") else "command"


def installs(kind: Kind, code: Path) -> list[Command]:
    """The pip command that the code needs, if any."""
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--root-user-action=ignore"]
    wanted = ["-r", "requirements.txt"] if (code / "requirements.txt").is_file() else []
    if kind == "package":
        wanted = [".", *wanted]
    if not wanted or kind == "command":
        return []
    return [Command([*pip, *wanted], name=f"pip install {' '.join(wanted)} in {code}", cwd=code, capture=True)]


def command_line(program: str, kind: Kind, hyperparameters: Mapping[str, Any]) -> list[str]:
    """How the program is started, its hyperparameters behind it."""
    arguments = to_arguments(hyperparameters)
    if kind == "script":
        return [sys.executable, program, *arguments]
    if kind == "package":
        return [sys.executable, "-m", program.removesuffix(".py").replace("/", "."), *arguments]
    return ["/bin/sh", "-c", shlex.join([f"./{program}", *arguments])]


def fetch(source: str, code: Path) -> None:
    """Brings the code to /opt/ml/code, unless something is there already: a folder, a tar archive or a single
    file of this machine, by path or file:// address. Raises JobError."""
    code.mkdir(parents=True, exist_ok=True)
    if any(code.iterdir()):
        return
    path = local_path(source)
    if path.resolve() == code.resolve():
        return
    if not (path.is_dir() or path.is_file()):
        raise JobError(f"sagemaker_submit_directory is {source!r}, where there is neither a folder nor a file")
    if code.resolve().is_relative_to(path.resolve()):
        raise JobError(f"sagemaker_submit_directory is {source!r}, which holds {code}, the place for its copy")
    try:
        if path.is_dir():
            shutil.copytree(path, code, dirs_exist_ok=True)
        elif path.name.endswith(ARCHIVES) or tarfile.is_tarfile(path):
            unpack(path, code)
        else:
            shutil.copy2(path, code)
    except BaseException:
        _empty(code)  # half of the code would pass for all of it in the next run
        raise


def local_path(source: str) -> Path:
    """The path that a path or a file:// address names. Raises JobError for any other address."""
    if "://" not in source:
        return Path(source)
    address = urlsplit(source)
    if address.scheme != "file" or address.netloc not in ("", "localhost"):
        raise JobError(
            f"sagemaker_submit_directory is {source!r}; code comes from a path or from an address such as "
            "file:///opt/ml/input/data/code/sourcedir.tar.gz"
        )
    return Path(url2pathname(address.path))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a tar archive into the empty `folder`, nothing of it outside. Raises JobError.

    Only files and folders: `filter="data"` would let links through, and has been led astray by them
    (CVE-2025-4517), while Python before 3.11.4 has no filters at all.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in tar:
                if not (member.isfile() or member.isdir()):
                    raise JobError(f"{archive}: {member.name!r} is a link or a device; code holds files and folders")
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise JobError(f"{archive}: {member.name!r} would not stay in {folder}")
                tar.extract(member, folder)
            while tar.fileobj and tar.fileobj.read(1 << 20):
                pass  # to the very end, where the checksum stands
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        said = str(error).partition("\n")[0].rstrip(":")
        raise JobError(f"{archive} cannot be unpacked: {said}; it may be damaged or cut off") from None


def brings_inference(paths: Paths) -> bool:
    """Whether the code that trained also knows how to serve what it made."""
    return (paths.code / "inference.py").is_file()
