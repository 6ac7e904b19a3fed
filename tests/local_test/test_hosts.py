"""Several hosts on one machine, described as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local_test.backends import Containers, Loopback, Namespaces
from local_test.hosts import RESOURCES, Share, Template, describe_hosts, make_root, resources_of
from local_test.namespaces import Namespace

ONE = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0", "current_instance_type": "x"}
NAMESPACES = Namespaces([Namespace(f"algo-{n}", f"byo-7-{n}", f"10.79.0.{n}", "byo-7-0", f"v{n}") for n in (1, 2)])


def containers(count: int, *options: str, **environ: str) -> Containers:
    return Containers(count, "image:tag", options, environ, "byo-vm-7")


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """A TEST_DIR with results of an older run beside what hosts share."""
    for folder in (
        "input/config",
        "input/data/training",
        "code",
        "checkpoints",
        "model",
        "output",
        "hosts",
        "uploaded",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / RESOURCES).write_text(json.dumps(ONE))
    return Template.read(tmp_path)


@pytest.mark.parametrize("backend", [Loopback(1, 10_000), containers(1)])
def test_one_host_works_in_test_dir_itself(template: Template, backend: Loopback | Containers) -> None:
    (host,) = describe_hosts(template, backend)
    assert (host.root, host.resources, host.shares) == (template.root, None, ())


def test_hosts_share_channels_and_all_folders_but_results(template: Template) -> None:
    shares = [(str(share.target), share.read_only) for share in describe_hosts(template, NAMESPACES)[0].shares]
    assert shares == [("input/data", True), ("checkpoints", False), ("code", False)]


def test_namespaces_see_their_folders_as_opt_ml(template: Template) -> None:
    host = describe_hosts(template, NAMESPACES)[1]
    assert host.name == "algo-2"
    assert host.command.argv[:4] == ["ip", "netns", "exec", "byo-7-2"]
    assert host.command.argv[-1] == "train"
    assert host.command.env == {"SAGEMAKER_BASE_DIR": "/opt/ml"}
    mounts = host.command.argv[-2].splitlines()
    assert mounts == [
        f"mount --bind {template.root}/hosts/algo-2 /opt/ml",
        f"mount --bind {template.root}/input/data /opt/ml/input/data",
        "mount -o remount,ro,bind /opt/ml/input/data",
        f"mount --bind {template.root}/checkpoints /opt/ml/checkpoints",
        f"mount --bind {template.root}/code /opt/ml/code",
        "cd /opt/ml",
    ]


def test_loopback_hosts_have_addresses_as_names_and_a_port(template: Template) -> None:
    hosts = describe_hosts(template, Loopback(2, 10_008))
    assert [host.name for host in hosts] == ["127.0.0.1", "127.0.0.2"]
    assert hosts[1].command.argv == ["train"]
    root = str(template.root / "hosts/127.0.0.2")
    assert hosts[1].command.env == {"SAGEMAKER_BASE_DIR": root, "TRAINING_PEERS_PORT": "10008"}
    assert hosts[1].resources == {
        **ONE,
        "current_host": "127.0.0.2",
        "hosts": ["127.0.0.1", "127.0.0.2"],
        "network_interface_name": "lo",
    }


def test_containers_get_names_limits_and_settings(template: Template) -> None:
    backend = containers(2, "--memory", "1g", SAGEMAKER_BASE_DIR="/x", TRAINING_PEERS_WAIT="9", HOME="/root")
    words = " ".join(describe_hosts(template, backend)[1].command.argv)
    assert words.startswith("docker run --rm --name byo-vm-7-algo-2 ")
    assert "--network byo-vm-7 --hostname algo-2 --network-alias algo-2 --user " in words
    assert f"-v {template.root}/hosts/algo-2:/opt/ml -v {template.root}/input/data:/opt/ml/input/data:ro " in words
    assert words.endswith("-e TRAINING_PEERS_WAIT --memory 1g image:tag train")


def test_each_host_has_its_own_resource_config(template: Template) -> None:
    for host in describe_hosts(template, Loopback(2, 10_000)):
        make_root(host, template, by_links=True)
        assert json.loads((host.root / RESOURCES).read_text())["current_host"] == host.name
        assert (host.root / "code").resolve() == template.root / "code"
        assert not any((host.root / "model").iterdir())
    for host in describe_hosts(template, NAMESPACES):
        make_root(host, template, by_links=False)
        assert (host.root / "input/data").is_dir()
        assert not (host.root / "input/data").is_symlink()


def group(name: str, *hosts: str) -> dict[str, Any]:
    return {"instance_group_name": name, "instance_type": f"ml.{name}", "hosts": list(hosts)}


@pytest.mark.parametrize(
    ("hosts", "groups", "expected"),
    [
        (["algo-1"], [group("a", "algo-1")], {"a": ["one", "two", "three"]}),
        (["x", "y"], [group("a", "y"), group("b", "x")], {"a": ["two"], "b": ["one", "three"]}),
        (["p", "q", "r", "s"], [group("a", "p", "q", "r"), group("b", "s")], {"a": ["one", "two", "three"]}),
    ],
)
def test_instance_groups_have_the_new_hosts(
    hosts: list[str], groups: list[Mapping[str, Any]], expected: Mapping[str, list[str]]
) -> None:
    template = Template(Path("/"), {"hosts": hosts, "instance_groups": groups})
    given = resources_of(template, ["one", "two", "three"], "three", "eth0")
    assert {each["instance_group_name"]: each["hosts"] for each in given["instance_groups"]} == expected
    own = next(name for name, members in expected.items() if "three" in members)
    assert (given["current_group_name"], given["current_instance_type"]) == (own, f"ml.{own}")


@pytest.mark.parametrize("text", [None, "[]", "{"])
def test_wrong_template_is_named(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "input/config").mkdir(parents=True)
    if text:
        (tmp_path / RESOURCES).write_text(text)
    with pytest.raises(ValueError, match=r"resourceconfig\.json should hold a JSON object"):
        Template.read(tmp_path)


def test_linked_folder_is_shared_by_its_target(template: Template, tmp_path: Path) -> None:
    (tmp_path / "code").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "code").symlink_to(tmp_path / "elsewhere")
    assert Share(tmp_path / "elsewhere", Path("code")) in Template.read(tmp_path).shares
