"""What is to be run for a training job on N hosts of one machine, as data: each host's /opt/ml, its command line and
what it shares with the others. TEST_DIR is the template; local_test/places.py says where the hosts are.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

CONFIG = Path("input/config")
DATA = Path("input/data")
CHECKPOINTS = Path("checkpoints")
MODEL = Path("model")
OUTPUT = Path("output")
FAILURE = OUTPUT / "failure"
RESOURCES = CONFIG / "resourceconfig.json"
# Folders of TEST_DIR that are no part of what hosts find in /opt/ml, or that each has of its own.
OURS = ("input", "model", "model.old", "output", "hosts", "uploaded")


@dataclass(frozen=True)
class Share:
    """A folder that all hosts see at the same place, `target`, below /opt/ml."""

    source: Path
    target: Path
    read_only: bool = False


@dataclass(frozen=True)
class Command:
    """A host's process 1; `env` is added to our own environment, `container` is what docker calls it, `orphaned` the
    signal that it gets where we are killed."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    container: str | None = None
    orphaned: signal.Signals = signal.SIGTERM


@dataclass(frozen=True)
class Host:
    """One host: `root` is its /opt/ml, `resources` its resourceconfig.json (None: the one that lies there)."""

    name: str
    root: Path
    command: Command
    resources: Mapping[str, Any] | None = None
    shares: tuple[Share, ...] = ()


class Place(Protocol):
    """Where hosts are: how they are called, what leads from one to the other, and what starts `train` there."""

    interface: str

    def names(self) -> list[str]: ...

    def command(self, number: int, root: Path, shares: Sequence[Share]) -> Command: ...


@dataclass(frozen=True)
class Template:
    """What TEST_DIR holds for all hosts."""

    root: Path
    resources: Mapping[str, Any]
    shares: tuple[Share, ...] = ()

    @classmethod
    def read(cls, root: Path) -> Template:
        """Raises ValueError that names the file that is wrong."""
        path = root / RESOURCES
        try:
            resources = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} should hold a JSON object: {error}") from None
        if not isinstance(resources, dict):
            raise ValueError(f"{path} should hold a JSON object, and holds {type(resources).__name__}")
        shares = [Share((root / DATA).resolve(), DATA, read_only=True)] if (root / DATA).is_dir() else []
        others = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name not in OURS]
        shares += [Share(path.resolve(), Path(path.name)) for path in others]
        return cls(root, resources, tuple(shares))


def describe(template: Template, place: Place) -> list[Host]:
    """The hosts. One alone works in TEST_DIR itself, each of several in a folder of its own."""
    names = place.names()
    if len(names) == 1:
        return [Host(names[0], template.root, place.command(1, template.root, ()))]
    hosts = []
    for number, name in enumerate(names, 1):
        root = template.root / "hosts" / name
        command = place.command(number, root, template.shares)
        hosts.append(Host(name, root, command, resources_of(template, names, name, place.interface), template.shares))
    return hosts


def resources_of(template: Template, names: Sequence[str], current: str, interface: str) -> dict[str, Any]:
    """The template's resourceconfig.json with these hosts in the place of its own, also in its instance groups; the
    last group takes the hosts for which the template has none."""
    given = template.resources
    hosts = {"current_host": current, "hosts": list(names), "network_interface_name": interface}
    groups = given.get("instance_groups")
    if not groups:
        return {**given, **hosts}
    new_name = dict(zip(given.get("hosts", ()), names, strict=False))
    groups = [{**group, "hosts": [new_name[old] for old in group["hosts"] if old in new_name]} for group in groups]
    placed = {name for group in groups for name in group["hosts"]}
    groups[-1]["hosts"] += [name for name in names if name not in placed]
    groups = [group for group in groups if group["hosts"]]
    own = next(group for group in groups if current in group["hosts"])
    types = {"current_instance_type": own["instance_type"]} if "instance_type" in own else {}
    return {**given, **hosts, **types, "current_group_name": own["instance_group_name"], "instance_groups": groups}


def prepare(host: Host, template: Template, *, by_links: bool) -> None:
    """Makes the host's /opt/ml, with what is shared as links, or as empty folders on which to mount it."""
    if host.resources is None:
        return
    shutil.copytree(template.root / CONFIG, host.root / CONFIG)
    (host.root / RESOURCES).write_text(json.dumps(host.resources, indent=2) + "\n", encoding="utf-8")
    for folder in (MODEL, OUTPUT):
        (host.root / folder).mkdir()
    for share in host.shares:
        target = host.root / share.target
        target.symlink_to(share.source) if by_links else target.mkdir()
