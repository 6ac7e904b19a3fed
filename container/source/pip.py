"""What the user's code asks to be installed: one command for `train` and `serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from byo_container.container.aws import codeartifact
from byo_container.container.process.child import Command

REQUIREMENTS = "requirements.txt"


def install(folder: Path, first: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Command | None:
    """The pip command for `first` (`.` for a package) and for the requirements.txt in `folder`; None where there is
    neither. Run in `folder`, where the paths in a requirements.txt begin. Raises JobError."""
    required = ["-r", REQUIREMENTS] if (folder / REQUIREMENTS).is_file() else []
    wanted = [*first, *required]
    if not wanted:
        return None
    arn = environ.get(codeartifact.VARIABLE) if required else None
    # -P: `container` must be ours, also where the current folder holds another one.
    keeping = [sys.executable, "-P", "-m", "byo_container.container.commands"]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--root-user-action=ignore"]
    return Command(
        [*keeping, *pip, *wanted],
        name=f"pip install {' '.join(wanted)} in {folder}",
        env={"PIP_INDEX_URL": codeartifact.index_url(arn)} if arn else {},
        cwd=folder,
        capture=True,
    )
