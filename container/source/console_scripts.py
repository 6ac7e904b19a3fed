"""The commands `train` and `serve`, which other packages (sagemaker-training, sagemaker-containers) install too.

python -m byo_container.container.source.console_scripts PROGRAM ARGUMENT …
    runs a program, such as pip; restores our commands if it has replaced them, and warns of packages whose versions
    are no longer in the ranges that byo-container requires
byo-container check
    says whether `train` and `serve` are ours, for the end of an image's build
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from byo_container.container.files.atomic import replacing
from byo_container.container.log import configure, log

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NAMES = ("train", "serve", "byo-container")
DISTRIBUTION = "byo-container"
MISSING = "missing"
MODULE = b"byo_container"
"""The package that our console scripts import."""


def main(words: list[str]) -> int:
    """Runs the program, and returns its exit status."""
    configure()
    ours, required = own_scripts(), requirements()
    before = {requirement.name: installed_version(requirement.name) for requirement in required}
    status = subprocess.call(words)  # our parent handles its errors, and SIGTERM
    replaced = ", ".join(map(str, restore(ours)))
    if replaced:
        log.warning("a package has put its own commands in place of ours, which are back now: %s", replaced)
    importlib.invalidate_caches()
    for requirement in required:
        name, version = requirement.name, installed_version(requirement.name)
        if version != before[name] and (version == MISSING or version not in requirement.specifier):
            log.warning("byo-container was tested with %s %s, which is %s now", name, before[name], version)
    return status if status >= 0 else 128 - status


def own_scripts() -> dict[Path, bytes]:
    """The paths and contents of our console scripts: in the folder where pip puts them, and on the PATH."""
    places = [sysconfig.get_path("scripts"), *os.environ.get("PATH", "").split(os.pathsep)]
    ours = {}
    for path in (Path(folder, name) for folder in dict.fromkeys(filter(None, places)) for name in NAMES):
        with suppress(OSError):
            text = path.read_bytes()
            if MODULE in text and text.startswith(b"#!"):
                ours[path] = text
    return ours


def restore(ours: dict[Path, bytes]) -> list[Path]:
    """Writes back the scripts that have changed, and returns their paths."""
    replaced = []
    for path, text in ours.items():
        try:
            if path.is_file() and path.read_bytes() == text:
                continue
            with replacing(path) as stream:
                stream.buffer.write(text)
                os.fchmod(stream.fileno(), 0o755)
            replaced.append(path)
        except OSError as error:
            log.error("%s is another package's now, and cannot be put back: %s", path, error)
    return replaced


def check() -> int:
    """Prints what is wrong with the commands of this image, and returns the status: 1 where something is."""
    faults = shadowed()
    for fault in faults:
        print(f"byo-container: {fault}", file=sys.stderr)
    if not faults:
        print("byo-container: the commands train and serve are no other package's")
    return 1 if faults else 0


def shadowed(names: Iterable[str] = NAMES[:2]) -> list[str]:
    """A sentence for each of these commands for which a shell would start another installed package's. A user's own
    program of that name, which belongs to no package, is fine."""
    faults = []
    for name in names:
        path = shutil.which(name)
        module = imported_module(Path(path)) if path else None
        if module is None or module.partition(".")[0] == MODULE.decode():
            continue
        others = {entry.module for entry in metadata.entry_points(group="console_scripts", name=name)}
        if module in others:
            faults.append(
                f"the command {name} ({path}) belongs to another package, for it runs {module}: `{name}` does not "
                f"start byo-container, `byo-container {name}` does. Install that package before byo-container, or "
                "reinstall byo-container after it (pip install --force-reinstall --no-deps)"
            )
    return faults


def imported_module(path: Path) -> str | None:
    """The module that a console script imports; None for any other program."""
    with suppress(OSError):
        match = re.search(rb"^from ([\w.]+) import ", path.read_bytes(), re.MULTILINE)
        return match[1].decode() if match else None
    return None


def requirements() -> list[Requirement]:
    """What byo-container requires without extras; empty where it is not installed as a package."""
    from packaging.requirements import Requirement  # not at the top: `train` itself needs the standard library only

    with suppress(metadata.PackageNotFoundError):
        return [Requirement(line) for line in metadata.requires(DISTRIBUTION) or () if "extra ==" not in line]
    return []


def installed_version(name: str) -> str:
    """The version of an installed package, else MISSING."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
