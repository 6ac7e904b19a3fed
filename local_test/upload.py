"""Collects the files that SageMaker would upload when a job has ended:

    model.tar.gz     what is in /opt/ml/model, of all hosts
    output.tar.gz    what is in /opt/ml/output/data
    tensorboard/     the events in /opt/ml/output/tensorboard
    checkpoints/     /opt/ml/checkpoints

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-train-storage.html
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

COMPRESSION = 1  # the fastest: a model of floats hardly shrinks


def merge(folders: Mapping[str, Path], target: Path) -> list[str]:
    """Copies folders, given by their hosts' names, into one. Where two hosts have left different files at the same
    path, the first host's is kept. Returns a sentence for each such clash."""
    clashes = []
    owners: dict[Path, str] = {}
    for host, folder in folders.items():
        refused: set[Path] = set()
        for path in _everything(folder):
            place = target / path.relative_to(folder)
            if not refused.isdisjoint(path.parents):
                continue
            if not os.path.lexists(place):
                owners[place] = host
                _copy(path, place)
            elif not _alike(path, place):
                refused.add(path)
                clashes.append(f"{path.relative_to(folder)} differs between {owners[place]}, whose is kept, and {host}")
    return clashes


def archive(folder: Path, target: Path) -> None:
    """Packs a folder's content as SageMaker does: names in the archive do not begin with a folder."""
    with tarfile.open(target, "w:gz", compresslevel=COMPRESSION) as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)


def replace(folder: Path) -> Path:
    """Makes an empty folder, and removes a former one."""
    remove(folder)
    folder.mkdir(parents=True)
    return folder


def remove(folder: Path) -> None:
    """Removes a folder if there is one. Raises OSError, which names the file."""
    if folder.exists():
        shutil.rmtree(folder)


def is_empty(folder: Path) -> bool:
    return not (folder.is_dir() and any(folder.iterdir()))


def sizes(folder: Path) -> str:
    """A list of a folder's content for people, such as `model.tar.gz (1.2 MB), checkpoints/`."""
    return ", ".join(
        f"{path.name}/" if path.is_dir() else f"{path.name} ({path.stat().st_size / 1e6:,.1f} MB)"
        for path in sorted(folder.iterdir())
    )


def upload(
    target: Path, model: Path | None, roots: Mapping[str, Path], checkpoints: Path, scratch: Path
) -> Sequence[str]:
    """Fills `target`, see the top of this file. `roots` are the hosts' /opt/ml, `model` is the merged model folder if
    there is a model, `scratch` an empty folder. Returns the clashes between hosts."""
    replace(target)
    if model:
        archive(model, target / "model.tar.gz")
    data, events = scratch / "data", target / "tensorboard"
    clashes = merge({host: root / "output/data" for host, root in roots.items()}, data)
    clashes += merge({host: root / "output/tensorboard" for host, root in roots.items()}, events)
    if not is_empty(data):
        archive(data, target / "output.tar.gz")
    if not is_empty(checkpoints):
        merge({"": checkpoints}, target / "checkpoints")
    return clashes


def _everything(folder: Path) -> list[Path]:
    """All paths below a folder; links are not followed."""
    paths: list[Path] = []
    for here, folders, files in os.walk(folder):
        paths += [Path(here, name) for name in (*folders, *files)]
    return sorted(paths)


def _copy(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or not path.is_dir():
        shutil.copy2(path, place, follow_symlinks=False)
    else:
        place.mkdir()


def _alike(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    if one.is_dir() or other.is_dir():
        return one.is_dir() and other.is_dir()
    return filecmp.cmp(one, other, shallow=False)
