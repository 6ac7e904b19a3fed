"""What goes into an image, by pyproject.toml. The Dockerfiles run it during the build.

    choose.py requirements HANDLERS EXTRAS cpu|gpu SOURCE FOLDER
        writes what pip installs by FOLDER/constraints.txt: FOLDER/requirements.txt; what it installs without
        dependencies: FOLDER/alone.txt, which is compiled, and FOLDER/no_deps.txt; and what Debian has:
        FOLDER/debian.txt
    choose.py prune HANDLERS SOURCE
        removes all other handlers from the source

HANDLERS are names of handlers with commas between them, or `none`; EXTRAS are names of extras.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

# Not among a handler's extra, because their own dependencies cannot be installed; see tools/venv.sh.
ALONE = {"translation": ["fairseq"]}
# torch.compile writes C++ for CPUs, and Triton C for GPUs, while a model trains.
DEBIAN = {"text_classification": ["g++"]}
NOT_FOR_IMAGES = {"dev"}
# Where the base image has one of these, it stays.
FRAMEWORKS = {"torch", "tensorflow", "tensorflow-cpu"}
GPU_BUILDS = {"tensorflow-cpu": "tensorflow[and-cuda]"}


def main(words: list[str]) -> None:
    match words:
        case ["requirements", handlers, extras, machine, source, folder]:
            project = read_project(Path(source))
            chosen_handlers = choose_handlers(handlers, project)
            chosen_extras = choose_extras(extras, project)
            chosen = [*chosen_handlers, *chosen_extras]
            lines = requirements(chosen, project)
            write_lines(Path(folder, "requirements.txt"), [build_for(machine, line) for line in lines])
            write_lines(Path(folder, "alone.txt"), [line for name in chosen_handlers for line in ALONE.get(name, ())])
            debian = [package for name in dict.fromkeys(chosen) for package in DEBIAN.get(name, ())]
            write_lines(Path(folder, "debian.txt"), debian)
            write_lines(Path(folder, "no_deps.txt"), tf_keras(Path(folder)) if "tensorflow" in chosen_extras else [])
        case ["prune", handlers, source]:
            prune(Path(source), choose_handlers(handlers, read_project(Path(source))))
        case _:
            sys.exit(__doc__)


def read_project(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def choose_handlers(text: str, project: dict[str, Any]) -> list[str]:
    """The handlers that HANDLERS names. Exits where there is no such handler."""
    registered = project.get("entry-points", {}).get("byo_container.handlers", {})
    known = sorted(name for name in registered if name in project["optional-dependencies"])
    if text == "none":
        return []
    names = split_names(text)
    if not names:
        sys.exit(f"HANDLERS is empty; it must be `none`, or of {', '.join(known)} with commas between them")
    return [check_name(name, known, "HANDLERS", "handler", "; or `none`") for name in names]


def choose_extras(text: str, project: dict[str, Any]) -> list[str]:
    """The extras that EXTRAS names. Exits where there is no such extra."""
    known = sorted(project["optional-dependencies"].keys() - NOT_FOR_IMAGES)
    return [check_name(name, known, "EXTRAS", "extra") for name in split_names(text)]


def split_names(text: str) -> list[str]:
    return [name for name in re.split(r"[,\s]+", text.replace("-", "_")) if name]


def check_name(name: str, known: list[str], argument: str, kind: str, otherwise: str = "") -> str:
    if name not in known:
        sys.exit(
            f"{argument} names {name!r}, which is no {kind} of this byo-container; known: {', '.join(known)}{otherwise}"
        )
    return name


def requirements(extras: list[str], project: dict[str, Any]) -> list[str]:
    """The requirements of the package and of these extras, without the frameworks that the base image has."""
    lines = [*project["dependencies"], *(line for name in extras for line in lines_of_extra(name, project))]
    return [line for line in dict.fromkeys(lines) if not (package(line) in FRAMEWORKS and in_base(package(line)))]


def lines_of_extra(name: str, project: dict[str, Any]) -> Iterator[str]:
    """The requirements of an extra, those of extras that it includes (`byo-container[report,s3]`) in their place."""
    for line in project["optional-dependencies"][name]:
        if package(line) == project["name"]:
            for included in split_names(line[line.index("[") + 1 : line.index("]")]):
                yield from lines_of_extra(included, project)
        else:
            yield line


def in_base(name: str) -> bool:
    """Whether a package is installed. TensorFlow's builds have different names for the same module."""
    builds = {"tensorflow", "tensorflow-cpu"} if name.startswith("tensorflow") else {name}
    return any(list(metadata.distributions(name=build)) for build in builds)


def tf_keras(folder: Path) -> list[str]:
    """Keras 2, by which TensorFlow trains on several hosts, in the version that fits the base image's TensorFlow or
    ours. The extra cannot name it, because it requires the package tensorflow, which is tensorflow-cpu here."""
    if list(metadata.distributions(name="tf-keras")):
        return []
    for build in ("tensorflow", "tensorflow-cpu"):
        for distribution in metadata.distributions(name=build):
            return [f"tf-keras=={'.'.join(distribution.version.split('.')[:2])}.*"]
    pins = (folder / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in pins if package(line) in ("tf-keras", "tf_keras")]


def package(line: str) -> str:
    """The name of the package in a requirement."""
    return re.split(r"[^\w.-]", line, maxsplit=1)[0].lower()


def build_for(machine: str, line: str) -> str:
    """The requirement for `cpu` or `gpu`, where a package has builds with different names."""
    name = package(line)
    return GPU_BUILDS[name] + line[len(name) :] if machine == "gpu" and name in GPU_BUILDS else line


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def prune(source: Path, chosen: list[str]) -> None:
    """Removes the folders of the other handlers, and their entry points from pyproject.toml."""
    import tomlkit

    path = source / "pyproject.toml"
    document: Any = tomlkit.parse(path.read_text(encoding="utf-8"))
    groups = document["project"]["entry-points"]
    unwanted = set(groups["byo_container.handlers"]) - set(chosen)
    for group in groups.values():
        for name in unwanted & set(group):
            del group[name]
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
    for name in unwanted:
        shutil.rmtree(source / "handlers" / name)


if __name__ == "__main__":
    main(sys.argv[1:])
