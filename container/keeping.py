"""What `train` leaves beside a model so that `serve` finds its code: handler.json, and a copy of /opt/ml/code.

Also for a job that was stopped, whose model SageMaker uploads all the same. Source:
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from container.handler import MANIFEST, VARIABLE, HandlerReference, write_atomically
from container.log import log
from container.paths import Paths

KEPT = ".kept-by-byo-container"
UNWANTED = ("__pycache__", "*.pyc", ".git")


def changes(folder: Path) -> dict[str, int]:
    """When each file below `folder` was changed last, in ns: other than before where anything was written there."""
    found = {}
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with contextlib.suppress(OSError):  # removed meanwhile
                found[str(path)] = path.lstat().st_ctime_ns
    return found


def keep(reference: HandlerReference | None, paths: Paths) -> None:
    """Leaves the name of the handler, if one has trained, and the code that came from outside the image. That a disk is
    full does not fail a job whose model is whole: the log says what is missing, and how to serve without it."""
    if reference:
        try:
            write_atomically(paths.model / MANIFEST, json.dumps({"handler": reference.target}, indent=2) + "\n")
        except OSError as error:
            log.warning(
                "%s cannot be written: %s; the model is whole, and served with %s=%s in the environment",
                *(paths.model / MANIFEST, error.strerror, VARIABLE, reference.target),
            )
    try:
        keep_code(paths)
    except OSError as error:
        log.warning(
            "the code in %s cannot be copied to %s: %s; the model is whole, but `serve` needs the code there, or in %s",
            *(paths.code, paths.model / "code", _reason(error), paths.code),
        )


def keep_code(paths: Paths) -> None:
    """A copy of /opt/ml/code in the model folder, unless the training code has put one there itself. Raises OSError.

    Built beside it and renamed, so that a model folder never holds half of it; an older run's gives way to it.
    """
    target, building, old = (paths.model / name for name in ("code", ".code.new", ".code.old"))
    theirs = target.exists() and not (target / KEPT).exists()
    if theirs or not paths.code.is_dir() or not any(paths.code.iterdir()):
        return
    try:
        shutil.rmtree(building, ignore_errors=True)
        shutil.copytree(paths.code, building, symlinks=True, ignore=shutil.ignore_patterns(*UNWANTED))
        (building / KEPT).touch()
        if target.exists():
            target.rename(old)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    log.info("kept the code of the model in %s", target)


def _reason(error: OSError) -> str:
    """What went wrong first; copytree gives a list of all, each with the files that it is about."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return str(error)
