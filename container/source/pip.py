"""The pip command that installs what a user's code requires, the same for `train` and `serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from byo_container.container.aws import codeartifact
from byo_container.container.process.child import Command

REQUIREMENTS = "requirements.txt"


def install(folder: Path, first: Sequence[str] = ()) -> Command | None:
    """The pip command for `first` (such as `.`) and for the requirements.txt in `folder`; None where there is neither.
    It runs in `folder`, because paths in a requirements.txt are relative to the working folder. Raises JobError."""
    required = ["-r", REQUIREMENTS] if (folder / REQUIREMENTS).is_file() else []
    packages = [*first, *required]
    if not packages:
        return None
    arn = os.environ.get(codeartifact.VARIABLE) if required else None
    # -P: the current folder may hold another byo_container.
    guard = [sys.executable, "-P", "-m", "byo_container.container.source.console_scripts"]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--root-user-action=ignore"]
    return Command(
        [*guard, *pip, *packages],
        name=f"pip install {' '.join(packages)} in {folder}",
        env={"PIP_INDEX_URL": codeartifact.index_url(arn)} if arn else {},
        cwd=folder,
        capture=True,
    )
