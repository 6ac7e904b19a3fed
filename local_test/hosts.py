"""Describes a training job on N hosts of one machine as data: each host's /opt/ml, its command line and the folders
that it shares with the others. TEST_DIR is the template; local_test/backends.py says how the hosts are made.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from byo_container.container.process.child import Child, Command

CONFIG = Path("input/config")
DATA = Path("input/data")
CHECKPOINTS = Path("checkpoints")
MODEL = Path("model")
OUTPUT = Path("output")
FAILURE = OUTPUT / "failure"
RESOURCES = CONFIG / "resourceconfig.json"
# Folders of TEST_DIR that hosts do not find in /opt/ml, or of which each host has its own.
NOT_SHARED = ("input", "model", "model.old", "output", "hosts", "uploaded")


@dataclass(frozen=True)
class Share:
    """A folder that all hosts find at the same place `target` below /opt/ml."""

    source: Path
    target: Path
    read_only: bool = False


@dataclass(frozen=True)
class Host:
    """One host: `root` is its /opt/ml, `command` its process 1, `resources` its resourceconfig.json (None: the file
    that is there already)."""

    name: str
    root: Path
    command: Command
    resources: Mapping[str, Any] | None = None
    shares: tuple[Share, ...] = ()


class Backend(Protocol):
    """How hosts are made."""

    interface: str
    """The network interface that leads from one host to the others."""
    by_links: bool
    """Whether shared folders are links in each host's root, or else are mounted there."""

    def names(self) -> list[str]:
        """What the hosts are called, also by each other."""

    def command(self, number: int, root: Path, shares: Sequence[Share]) -> Command:
        """What starts `train` on host `number`, counted from 1."""

    def up(self) -> AbstractContextManager[None]:
        """Makes the hosts, and removes them at the end. Raises RuntimeError."""

    def terminate(self, child: Child) -> bool:
        """Sends SIGTERM to the process 1 of the host that `child` runs. Returns whether that could handle it."""


@dataclass(frozen=True)
class Template:
    """The content of TEST_DIR, from which the hosts are made."""

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
        others = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name not in NOT_SHARED]
        shares += [Share(path.resolve(), Path(path.name)) for path in others]
        return cls(root, resources, tuple(shares))


def describe_hosts(template: Template, backend: Backend) -> list[Host]:
    """The hosts. A single one works in TEST_DIR itself, each of several in a folder of its own."""
    names = backend.names()
    if len(names) == 1:
        return [Host(names[0], template.root, backend.command(1, template.root, ()))]
    hosts = []
    for number, name in enumerate(names, 1):
        root = template.root / "hosts" / name
        command = backend.command(number, root, template.shares)
        hosts.append(Host(name, root, command, resources_of(template, names, name, backend.interface), template.shares))
    return hosts


def resources_of(template: Template, names: Sequence[str], current: str, interface: str) -> dict[str, Any]:
    """The template's resourceconfig.json with these hosts instead of its own, also in the instance groups. Hosts beyond
    those of the template join the last group."""
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


def make_root(host: Host, template: Template, *, by_links: bool) -> None:
    """Makes the host's /opt/ml, with shared folders as links, or as empty folders to mount them on."""
    if host.resources is None:
        return
    shutil.copytree(template.root / CONFIG, host.root / CONFIG)
    (host.root / RESOURCES).write_text(json.dumps(host.resources, indent=2) + "\n", encoding="utf-8")
    for folder in (MODEL, OUTPUT):
        (host.root / folder).mkdir()
    for share in host.shares:
        target = host.root / share.target
        target.symlink_to(share.source) if by_links else target.mkdir()
