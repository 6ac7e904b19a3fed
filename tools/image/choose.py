"""What goes into an image, by pyproject.toml. The Dockerfiles call it while they build.

    choose.py requirements HANDLERS EXTRAS cpu|gpu SOURCE FOLDER
        writes what pip is to install: FOLDER/requirements.txt; and without what they ask for in turn
        FOLDER/alone.txt, which is compiled, and FOLDER/no_deps.txt
    choose.py prune HANDLERS SOURCE
        takes all other handlers out of the source

HANDLERS are names of handlers with commas between them, or `none`; EXTRAS such names of extras.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

# A handler's extra cannot name these, for pip would go on to what they ask for; see tools/venv.sh. In constraints.txt.
ALONE = {"translation": ["fairseq"]}
NO_MODEL = {"dev"}
# A base image that was chosen for its framework keeps it.
FRAMEWORKS = {"torch", "tensorflow", "tensorflow-cpu"}
GPU_BUILDS = {"tensorflow-cpu": "tensorflow[and-cuda]"}


def main(words: list[str]) -> None:
    match words:
        case ["requirements", handlers, extras, machine, source, folder]:
            project = read(Path(source))
            chosen = choose_handlers(handlers, project)
            more = choose_extras(extras, project)
            wanted = requirements([*chosen, *more], project)
            write(Path(folder, "requirements.txt"), [line for one in wanted for line in for_machine(one, machine)])
            write(Path(folder, "alone.txt"), [line for name in chosen for line in ALONE.get(name, ())])
            write(Path(folder, "no_deps.txt"), tf_keras(project) if "tensorflow" in more else [])
        case ["prune", handlers, source]:
            prune(Path(source), choose_handlers(handlers, read(Path(source))))
        case _:
            sys.exit(__doc__)


def read(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def choose_handlers(text: str, project: dict[str, Any]) -> list[str]:
    """The handlers that HANDLERS names; ends where there is no such handler."""
    known = project.get("entry-points", {}).get("byo_container.handlers", {})
    ready = sorted(name for name in known if name in project["optional-dependencies"])
    if text == "none":
        return []
    chosen = names(text)
    if not chosen:
        sys.exit(f"HANDLERS is empty; it must be `none`, or of {', '.join(ready)} with commas between them")
    return [known_name(name, ready, "HANDLERS", "handler", "; or `none`") for name in chosen]


def choose_extras(text: str, project: dict[str, Any]) -> list[str]:
    known = sorted(project["optional-dependencies"].keys() - NO_MODEL)
    return [known_name(name, known, "EXTRAS", "extra") for name in names(text)]


def names(text: str) -> list[str]:
    return [name for name in re.split(r"[,\s]+", text.replace("-", "_")) if name]


def known_name(name: str, known: list[str], argument: str, kind: str, otherwise: str = "") -> str:
    if name not in known:
        sys.exit(
            f"{argument} names {name!r}, which is no {kind} of this byo-container; known: {', '.join(known)}{otherwise}"
        )
    return name


def requirements(extras: list[str], project: dict[str, Any]) -> list[str]:
    """Lines for pip, without the frameworks that the base image has."""
    lines = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    return [line for line in dict.fromkeys(lines) if not (package(line) in FRAMEWORKS and in_base(package(line)))]


def in_base(name: str) -> bool:
    """TensorFlow's builds have names of their own, and are one module."""
    builds = {"tensorflow", "tensorflow-cpu"} if name.startswith("tensorflow") else {name}
    return any(list(metadata.distributions(name=build)) for build in builds)


def tf_keras(project: dict[str, Any]) -> list[str]:
    """Keras 2, by which TensorFlow trains on several hosts: of TensorFlow's own version, the base image's or ours. The
    extra cannot name it, for it asks for the package tensorflow, which is tensorflow-cpu here."""
    if list(metadata.distributions(name="tf-keras")):
        return []
    for build in ("tensorflow", "tensorflow-cpu"):
        for found in metadata.distributions(name=build):
            return [f"tf-keras=={'.'.join(found.version.split('.')[:2])}.*"]
    lines = project["optional-dependencies"]["tensorflow"]
    return [f"tf-keras{line.partition(';')[0].removeprefix(package(line))}" for line in lines if "tensor" in line][:1]


def package(line: str) -> str:
    return re.split(r"[^\w.-]", line, maxsplit=1)[0].lower()


def for_machine(line: str, machine: str) -> list[str]:
    if machine == "gpu" and package(line) in GPU_BUILDS:
        return [GPU_BUILDS[package(line)] + line[len(package(line)) :]]
    return [line]


def write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def prune(source: Path, chosen: list[str]) -> None:
    """Takes away the folders of the other handlers, and their names from pyproject.toml's entry points."""
    path = source / "pyproject.toml"
    known = read(source).get("entry-points", {}).get("byo_container.handlers", {})
    lines, section = [], ""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        section = line.strip() if line.startswith("[") else section
        name = line.partition("=")[0].strip()
        if "entry-points" in section and name in known and name not in chosen:
            continue
        lines.append(line)
    path.write_text("".join(lines), encoding="utf-8")
    for name in known.keys() - set(chosen):
        shutil.rmtree(source / "handlers" / name)


if __name__ == "__main__":
    main(sys.argv[1:])
