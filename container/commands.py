"""Our own commands `train` and `serve`, which other packages have too: sagemaker-training and sagemaker-containers.

python -m byo_container.container.commands PROGRAM ARGUMENT …
    runs a program, such as pip; puts our commands back where it has replaced them, and warns of packages that are no
    longer in the range of versions that byo-container requires
byo-container check
    says whether `train` and `serve` are ours, for the end of a build
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

from packaging.requirements import Requirement

from byo_container.container import log

NAMES = ("train", "serve", "byo-container")
DISTRIBUTION = "byo-container"
MISSING = "missing"
MODULE = b"byo_container"
"""What a console script of ours imports."""


def main(words: list[str]) -> int:
    """Runs the program, and returns its status."""
    log.configure()
    ours, required = find(), requirements()
    before = {requirement.name: installed_version(requirement.name) for requirement in required}
    status = subprocess.call(words)  # its errors and its end by SIGTERM are our parent's affair
    replaced = ", ".join(map(str, restore(ours)))
    if replaced:
        log.log.warning("a package has put its own commands in place of ours, which are back now: %s", replaced)
    importlib.invalidate_caches()
    for requirement in required:
        name, version = requirement.name, installed_version(requirement.name)
        if version != before[name] and (version == MISSING or version not in requirement.specifier):
            log.log.warning("byo-container was tested with %s %s, which is %s now", name, before[name], version)
    return status if status >= 0 else 128 - status


def find(folders: Iterable[str] = ()) -> dict[Path, bytes]:
    """Our console scripts: in the folder where pip puts such, and on the PATH."""
    places = folders or [sysconfig.get_path("scripts"), *os.environ.get("PATH", "").split(os.pathsep)]
    ours = {}
    for path in (Path(folder, name) for folder in dict.fromkeys(filter(None, places)) for name in NAMES):
        with suppress(OSError):
            text = path.read_bytes()
            if MODULE in text and text.startswith(b"#!"):
                ours[path] = text
    return ours


def restore(ours: dict[Path, bytes]) -> list[Path]:
    """Writes those back that are others by now, and returns their paths."""
    replaced = []
    for path, text in ours.items():
        try:
            if path.is_file() and path.read_bytes() == text:
                continue
            building = path.with_name(f".{path.name}.byo")
            building.write_bytes(text)
            building.chmod(0o755)
            building.replace(path)
            replaced.append(path)
        except OSError as error:
            log.log.error("%s is another package's now, and cannot be put back: %s", path, error)
    return replaced


def check() -> int:
    """Prints what is wrong with the commands of this image, and returns the status: 1 where something is."""
    faults = foreign()
    for fault in faults:
        print(f"byo-container: {fault}", file=sys.stderr)
    if not faults:
        print("byo-container: the commands train and serve are no other package's")
    return 1 if faults else 0


def foreign(names: Iterable[str] = NAMES[:2]) -> list[str]:
    """A sentence for each of these commands in whose place a shell would start that of an installed package. A user's
    own program of the name, which is no package's, is left alone."""
    faults = []
    for name in names:
        found = shutil.which(name)
        module = imported(Path(found)) if found else None
        if module is None or module.partition(".")[0] == MODULE.decode():
            continue
        others = {entry.module for entry in metadata.entry_points(group="console_scripts", name=name)}
        if module in others:
            faults.append(
                f"the command {name} ({found}) belongs to another package, for it runs {module}: `{name}` does not "
                f"start byo-container, `byo-container {name}` does. Install that package before byo-container, or "
                "reinstall byo-container after it (pip install --force-reinstall --no-deps)"
            )
    return faults


def imported(path: Path) -> str | None:
    """The module that a console script runs; None for any other program."""
    with suppress(OSError):
        match = re.search(rb"^from ([\w.]+) import ", path.read_bytes(), re.MULTILINE)
        return match[1].decode() if match else None
    return None


def requirements() -> list[Requirement]:
    """What byo-container requires without extras; empty where it is not installed as a package."""
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
