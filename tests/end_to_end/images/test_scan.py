"""What an image must not contain, and that builds are reproducible."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.images.docker import REPOSITORY, build, docker, inspect, must

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1800)]

CONTEXT = {
    *{
        "Dockerfile.cpu",
        ".dockerignore",
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
    },
    *{"byo_container", "container", "training", "serving", "handlers", "tools"},
}
BASE = "python:3.11-slim-bookworm"
KEPT_APART = r"(^|/)(\.env|\.netrc|\.pypirc|\.git|\.aws|\.docker|\.ssh|id_(rsa|dsa|ecdsa|ed25519)|.*\.p12|ssh_host_.*)$"
KEYS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(AKIA|ASIA)[A-Z0-9]{16}\b|"
    r"aws_secret_access_key *= *[A-Za-z0-9/+]{40}|\bghp_\w{36}"
)
OF_A_BUILD = r"/var/lib/apt/lists/.+Packages|/\.cache/pip|/bin/g\+\+|^/source|^/build"


def files(image: str, *tests: str) -> set[str]:
    """What `find` finds in an image; of what only this moment mounts there, nothing."""
    return set(must("run", "--rm", "--entrypoint", "find", image, "/", "-xdev", *tests).splitlines())


@pytest.fixture(scope="module", params=["none", "mpi", "news", "translation"])
def image(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_image"))


def test_image_has_no_setuid_or_world_writable_files(image: str) -> None:
    assert files(image, "-perm", "/6000") <= files(BASE, "-perm", "/6000")
    ours = files(image, "!", "-type", "l", "-perm", "/0002") - files(BASE, "!", "-type", "l", "-perm", "/0002")
    assert not ours


def test_no_secret_is_left(image: str) -> None:
    ours = files(image) - files(BASE)
    assert not [path for path in ours if re.search(KEPT_APART, path)]
    places = ("/opt", "/etc", "/root", "/usr/share/byo-container")
    found = docker("run", "--rm", image, "grep", "-rIlE", "--", KEYS, *places)
    assert not set(found.stdout.split()) & ours
    history = must("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert not re.search(r"(?i)password|secret|token|aws_", history)


def test_nothing_that_only_building_needs_is_left(image: str) -> None:
    ours = files(image) - files(BASE)
    assert not [path for path in ours if re.search(OF_A_BUILD, path)]


def test_every_layer_comes_out_the_same(none_image: str) -> None:
    again = build("again", "--no-cache", HANDLERS="none")
    assert inspect(again)["RootFS"]["Layers"] == inspect(none_image)["RootFS"]["Layers"]


def test_a_change_of_code_rebuilds_no_dependency(none_image: str, tmp_path: Path) -> None:
    for path in REPOSITORY.iterdir():
        if path.name in CONTEXT:
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, tmp_path / path.name)
    (tmp_path / "container/changed.py").write_text("")
    before = inspect(none_image)["RootFS"]["Layers"]
    after = inspect(build("changed", folder=tmp_path, HANDLERS="none"))["RootFS"]["Layers"]
    assert [layer for layer in before if layer not in after] == before[-1:]


@pytest.mark.parametrize("base", ["python:3.11-slim-bookworm", "debian:bookworm-slim"])
def test_the_gpu_image_builds_on_a_base_with_and_without_python(engine: None, base: str) -> None:
    image = build("gpu", file="Dockerfile.gpu", HANDLERS="none", BASE_IMAGE=base)
    assert "NVIDIA_VISIBLE_DEVICES=all" in inspect(image)["Config"]["Env"]
    assert must("run", "--rm", image, "train", "--help").startswith("`train`:")
