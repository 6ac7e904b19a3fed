"""build_and_push.sh: to a registry, and to ECR, whose part moto plays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.end_to_end.images.docker import REGISTRY, REPOSITORY, docker, inspect, listens, must

SCRIPT = REPOSITORY / "build_and_push.sh"
# Writes down its arguments, and knows the image.
DOCKER = """#!/bin/sh
echo "$@" >>"$CALLS"
[ "$1" != login ] || cat >>"$CALLS"
"""


def push(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *words], env={**os.environ, **environ}, capture_output=True, text=True, cwd="/")


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    yield {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*moto.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }
    moto.stop()


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The arguments of docker, by a docker that does nothing."""
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "calls"


def test_ecr_gets_a_repository_once_and_the_image_each_time(
    calls: Path, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/my-model:v2"
    for made in (True, False):
        calls.unlink(missing_ok=True)
        done = push("my-model:v2", "--region", "eu-west-1", "--build-arg", "HANDLERS=none", **aws)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{uri}\n"
        assert ("made the repository my-model" in done.stderr) == made
        build, login, password, tag, pushed = calls.read_text().splitlines()
        assert build.startswith(f"build -t my-model:v2 -f {REPOSITORY}/Dockerfile.cpu --build-arg REVISION=")
        assert build.endswith(f"--build-arg HANDLERS=none {REPOSITORY}")
        assert login == "login --username AWS --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        assert password
        assert not password.startswith("AWS:")
        assert tag == f"tag my-model:v2 {uri}"
        assert pushed == f"push {uri}"
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    ecr = boto3.client("ecr", "eu-west-1")
    assert [one["repositoryName"] for one in ecr.describe_repositories()["repositories"]] == ["my-model"]


def test_options_in_any_shape(calls: Path) -> None:
    done = push("m", "--registry=there:5000", "--no-cache", "--file", "/a/Dockerfile", "--build-arg", "A=two words")
    assert done.stdout == "there:5000/m:latest\n"
    assert (
        calls.read_text().splitlines()[0] == "build -t m:latest -f /a/Dockerfile --no-cache --build-arg A=two words /a"
    )
    calls.unlink()
    assert push("m", "--no-build", "--registry", "there").returncode == 0
    assert calls.read_text().splitlines() == ["tag m:latest there/m:latest", "push there/m:latest"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "build_and_push.sh IMAGE[:TAG] [--region REGION]"),
        (["here/m"], "IMAGE is 'here/m'; it must be a name without a registry, such as my-model or my-model:v2"),
        (["m", "--registry"], "--registry needs a value"),
        (["m", "--no-build", "--no-cache"], "--no-build leaves nothing that --no-cache could be for"),
        (["m"], "no region is known; give --region, or set AWS_REGION"),
    ],
)
def test_wrong_arguments_are_refused(calls: Path, words: list[str], said: str) -> None:
    nobody = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    done = push(*words, AWS_EC2_METADATA_DISABLED="true", **nobody)
    assert done.returncode != 0
    assert said in done.stderr
    assert not done.stdout


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_registry_has_the_image_afterwards(none_image: str) -> None:
    if not listens(REGISTRY):
        pytest.skip(f"no registry listens on {REGISTRY} (TEST_REGISTRY)")
    dockerfile = REPOSITORY / "examples/own_scripts/Dockerfile"
    done = push(
        "byo-container-test:line",
        f"--registry={REGISTRY}",
        f"--file={dockerfile}",
        f"--build-arg=BYO_CONTAINER={none_image}",
    )
    assert done.returncode == 0, done.stderr
    uri = done.stdout.strip()
    assert uri == f"{REGISTRY}/byo-container-test:line"
    built = inspect(uri)["Id"]
    docker("rmi", uri)
    must("pull", uri)
    assert inspect(uri)["Id"] == built
