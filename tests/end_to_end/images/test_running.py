"""Images run as the platform runs them, and with restricted rights."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.end_to_end.images.docker import LOCKED_DOWN, REPOSITORY, Container, docker, inspect, must
from tests.support.processes import wait_until
from tests.support.tree import make_tree

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1800)]

CAPABILITIES = "com.amazonaws.sagemaker.capabilities."
OPEN = ["-p", "127.0.0.1::8080"]
POINTS = {"training": {"points.csv": "0,1\n1,3\n2,5\n"}}
# Whoever runs the tests; and, for root, somebody whom no file of the image knows.
USERS = [os.getuid()] + [12345] * (os.getuid() == 0)


def tree(tmp_path: Path, user: int, **content: object) -> list[str]:
    """The options for an /opt/ml of this user's."""
    make_tree(tmp_path, **content)  # type: ignore[arg-type]
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, user, user if user != os.getuid() else -1)
    return ["--user", f"{user}:{user}", "-v", f"{tmp_path}:/opt/ml"]


def model(tmp_path: Path) -> Sequence[str]:
    """What shout has learned, read-only as the platform mounts it."""
    folder = tmp_path / "model"  # for everybody to read, unlike pytest's own
    folder.mkdir(mode=0o755)
    (folder / "ending.txt").write_text("!!")
    return ["-v", f"{folder}:/opt/ml/model:ro"]


def test_the_tools_that_the_sdk_calls_are_there(none_image: str) -> None:
    for tool in ("bash", "python3", "python", "pip", "train", "serve", "byo-container"):
        assert must("run", "--rm", none_image, "sh", "-c", f"command -v {tool}").startswith("/"), tool
    for ours in ("train", "serve", "byo-container"):  # before those of packages that are installed on top
        assert must("run", "--rm", none_image, "sh", "-c", f"command -v {ours}") == f"/opt/byo-container/bin/{ours}"
    assert must("run", "--rm", none_image, "bash", "-c", "pip --version && python -m pip --version")
    assert must("run", "--rm", "--entrypoint", "/bin/bash", none_image, "-c", "echo replaced") == "replaced"


def test_what_the_image_says_of_itself(none_image: str) -> None:
    config = inspect(none_image)["Config"]
    labels = config["Labels"]
    for capability in ("multi-models", "accept-bind-to-port", "bidirectional-streaming"):
        assert labels[CAPABILITIES + capability] == "true"
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}" in labels
    assert not config["Entrypoint"]
    assert config["Cmd"] == ["byo-container"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["User"] in ("", "root", "0")  # SageMaker's rule
    assert config["WorkingDir"] == "/opt/ml"


def test_a_base_for_anybodys_model_is_small(none_image: str) -> None:
    base = inspect("python:3.11-slim-bookworm")
    whole = inspect(none_image)
    assert whole["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"]
    assert whole["Size"] - base["Size"] < 90_000_000


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("command", [["train"], []], ids=["train", "no argument"])
def test_train_needs_no_rights(line_image: str, tmp_path: Path, user: int, command: list[str]) -> None:
    code = {"train.py": (REPOSITORY / "examples/own_scripts/train.py").read_text()}
    mounts = tree(tmp_path / "ml", user, channels=POINTS, code=code)
    done = docker("run", "--rm", *LOCKED_DOWN, *mounts, line_image, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    line = tmp_path / "ml/model/line.json"
    assert json.loads(line.read_text()) == {"slope": 2.0, "intercept": 1.0, "hosts": 1}
    assert line.stat().st_uid == user


def test_scripts_of_the_image_train_where_the_platform_mounts_folders(line_image: str, tmp_path: Path) -> None:
    make_tree(tmp_path, channels=POINTS)
    mounts = [f"-v={tmp_path / name}:/opt/ml/{name}" for name in ("input", "model", "output")]
    done = docker("run", "--rm", *mounts, line_image)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "model/line.json").read_text())["slope"] == 2.0
    assert (tmp_path / "model/code/inference.py").is_file()


def test_a_failing_job_has_a_status_and_a_reason(line_image: str, tmp_path: Path) -> None:
    make_tree(tmp_path, channels={"training": {"points.csv": "0,1\n"}})
    mounts = [f"-v={tmp_path / name}:/opt/ml/{name}" for name in ("input", "model", "output")]
    done = docker("run", "--rm", *mounts, line_image, "train")
    assert done.returncode == 1
    assert "1 points make no line" in (tmp_path / "output/failure").read_text()


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("command", [["serve"], []], ids=["serve", "no argument"])
def test_serve_needs_no_rights_and_ends_with_0(shout_image: str, tmp_path: Path, user: int, command: list[str]) -> None:
    options = [*LOCKED_DOWN, *OPEN, *model(tmp_path), "--user", f"{user}:{user}"]
    with Container(shout_image, *command, options=options) as container:
        container.ready()
        assert container.ask("/invocations", b'"hello"') == (200, b'{"result":"HELLO!!"}')
        assert container.ask("/invocations", b'"' + b"x" * 500_000 + b'"')[0] == 200  # through nginx's temporary files
        started = time.monotonic()
        must("stop", "-t", "30", container.name)
        assert time.monotonic() - started < 10
        assert container.state["ExitCode"] == 0, container.log
        assert "nginx is not installed" not in container.log


def test_stop_ends_training_with_a_status_of_its_own(none_image: str, tmp_path: Path) -> None:
    script = "import pathlib, time\npathlib.Path('/opt/ml/model/started').touch()\ntime.sleep(600)\n"
    mounts = tree(tmp_path / "ml", os.getuid(), code={"train.py": script})
    with Container(none_image, "train", options=mounts) as container:
        wait_until((tmp_path / "ml/model/started").exists, "the script to start", 60)
        started = time.monotonic()
        must("stop", "-t", "120", container.name)
        assert time.monotonic() - started < 10
        assert container.state["ExitCode"] not in (0, 137)
        assert "SIGTERM" in (tmp_path / "ml/output/failure").read_text()


def test_health(shout_image: str, tmp_path: Path) -> None:
    options = ["--health-interval=1s", *LOCKED_DOWN, *model(tmp_path), "-e", "SAGEMAKER_BIND_TO_PORT=9000"]
    with Container(shout_image, options=options) as container:
        wait_until(lambda: container.state["Health"]["Status"] == "healthy", "the container to be healthy", 60)
        answer = docker("exec", "-e", "SAGEMAKER_BIND_TO_PORT=9001", container.name, *health_command(shout_image))
        assert answer.returncode == 1
        assert "http://127.0.0.1:9001/ping: " in answer.stderr
    with Container(shout_image, "sleep", "60", options=["--health-interval=1s", "--init"]) as container:
        wait_until(lambda: container.state["Health"]["Status"] == "healthy", "who does not serve to be healthy", 60)


def health_command(image: str) -> list[str]:
    return list(inspect(image)["Config"]["Healthcheck"]["Test"][1:])


def test_the_port_moves_as_the_platform_says(shout_image: str, tmp_path: Path) -> None:
    options = ["-p", "127.0.0.1::9000", "-e", "SAGEMAKER_BIND_TO_PORT=9000", *model(tmp_path)]
    with Container(shout_image, "serve", options=options) as container:
        assert container.ready(9000).ask("/invocations", b'"a"', inside=9000) == (200, b'{"result":"A!!"}')


def test_an_unknown_command_is_refused(none_image: str) -> None:
    done = docker("run", "--rm", none_image, "byo-container", "tran")
    assert done.returncode == 1
    assert re.search("there is no command 'tran'; did you mean 'train'\\? known are: check, serve, train", done.stderr)
