"""What `train` leaves beside a model so that `serve` finds its code: handler.json, and a copy of /opt/ml/code.

Also for a job that was stopped, whose model SageMaker uploads all the same. Source:
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.container.files.atomic import write_atomically
from byo_container.container.files.disk_errors import copy_error
from byo_container.container.files.json_object import read_object
from byo_container.container.log import log
from byo_container.container.paths import Paths

NAME = "handler.json"
KEPT = ".kept-by-byo-container"
UNWANTED = ("__pycache__", "*.pyc", ".git")
MAX_DEPTH = 100  # of nested folders; deeper ones are not copied
MAX_NAMES, MAX_NAME_LENGTH = 5, 80  # of files, in a line of the log


def changes(folder: Path) -> dict[str, int]:
    """The time of the last change (ctime, ns) of each file below `folder`. Two results differ if anything was written
    in between. os.walk would not do: in Python 3.11 it recurses into nested folders."""
    changed, pending = {}, [str(folder)]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:  # removed meanwhile, or unreadable
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    with contextlib.suppress(OSError):
                        changed[entry.path] = entry.stat(follow_symlinks=False).st_ctime_ns
    return changed


def path_in(model_dir: Path) -> Path:
    """The manifest of a model folder."""
    return model_dir / NAME


def exists(model_dir: Path) -> bool:
    """Whether a model folder names its handler."""
    return path_in(model_dir).exists()


def read(model_dir: Path) -> str:
    """The handler of a model folder that has a manifest: a name or `package.module:Class`. Raises JobError."""
    path = path_in(model_dir)
    target = read_object(path).get("handler")
    if not isinstance(target, str):
        raise JobError(f'{path}: "handler" should be a text such as "package.module:Class"')
    return target


def keep(handler: str | None, paths: Paths) -> None:
    """Leaves in the model folder the handler (`package.module:Class`; None for a script) and the code that came from
    outside the image. A full disk does not fail a job whose model is whole: the log says what is missing, and how to
    serve without it."""
    if handler:
        path = path_in(paths.model)
        try:
            write_atomically(path, json.dumps({"handler": handler}, indent=2) + "\n")
        except OSError as error:
            log.warning(
                "%s cannot be written: %s; the model is whole, and served with MODEL_HANDLER=%s in the environment",
                *(path, error.strerror, handler),
            )
    try:
        keep_code(paths)
    except Exception as error:
        log.warning(
            "the code in %s cannot be copied to %s: %s; the model is whole, but `serve` needs the code there, or in %s",
            *(paths.code, paths.model / "code", copy_error(error), paths.code),
        )


def keep_code(paths: Paths) -> None:
    """Copies /opt/ml/code into the model folder, unless the training code has put code there itself. Raises OSError.

    The copy is built beside its place and renamed, so that a model folder never holds half of it. It replaces the copy
    of an older run.
    """
    target, building, old = (paths.model / name for name in ("code", ".code.new", ".code.old"))
    theirs = target.exists() and not (target / KEPT).exists()
    if theirs or not paths.code.is_dir() or not any(paths.code.iterdir()):
        return
    try:
        for leftover in (building, old):  # of a job that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        left_out: list[str] = []
        shutil.copytree(paths.code, building, symlinks=True, ignore=_uncopied(paths, left_out))
        if left_out:
            more = f" and {len(left_out) - MAX_NAMES} more" if len(left_out) > MAX_NAMES else ""
            log.warning("left out of the code in %s: %s%s", target, ", ".join(left_out[:MAX_NAMES]), more)
        (building / KEPT).touch()
        if target.exists():
            target.rename(old)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    log.info("kept the code of the model in %s", target)


def _uncopied(paths: Paths, left_out: list[str]) -> Callable[[str, list[str]], set[str]]:
    """The function by which copytree ignores names of a folder; those that the user may miss are added to `left_out`.

    Reading a FIFO or a device may never end. A model folder within the code would be copied into itself. And copytree
    and rmtree recurse, which fails for a thousand nested folders.
    """
    unwanted = shutil.ignore_patterns(*UNWANTED)

    def reason_to_ignore(path: Path) -> str:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            if paths.model.exists() and path.samefile(paths.model):
                return "the model folder"
            return "too deep" if len(path.relative_to(paths.code).parts) > MAX_DEPTH else ""
        return "" if stat.S_ISREG(mode) or stat.S_ISLNK(mode) else "no regular file"

    def ignore(folder: str, names: list[str]) -> set[str]:
        ignored = set(unwanted(folder, names))
        for name in sorted(set(names) - ignored):
            path = Path(folder, name)
            if reason := reason_to_ignore(path):
                ignored.add(name)
                left_out.append(f"{_short(str(path.relative_to(paths.code)))} ({reason})")
        return ignored

    return ignore


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}..."
