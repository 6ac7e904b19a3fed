"""SageMaker's Python SDK, version 3, drives the images unchanged in its local mode."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.images.docker import REGISTRY, REPOSITORY, listens, must
from tests.end_to_end.images.sdk_runs import SDK, line_of
from tests.support.processes import free_port

pytestmark = [pytest.mark.docker, pytest.mark.sdk, pytest.mark.slow, pytest.mark.timeout(1800)]
SCRIPTS = REPOSITORY / "examples/own_scripts"


@pytest.fixture
def v3(tmp_path: Path) -> SDK:
    return SDK("v3", tmp_path / "sdk")


@pytest.mark.parametrize("hosts", [1, 2])
def test_train_without_source_code(v3: SDK, line_image: str, points: str, hosts: int) -> None:
    """The image's own script. No argument says `train`."""
    result = v3.run("train", image=line_image, data=points, hosts=hosts)
    assert "model" in result, v3.log[-4000:]
    assert line_of(result["model"]) == {"slope": 2.0, "intercept": 1.0, "hosts": hosts}


@pytest.mark.parametrize("hosts", [1, 2])
def test_train_with_source_code(v3: SDK, none_image: str, points: str, hosts: int) -> None:
    """The SDK's own drivers take the place of our program, and need bash, python3 and pip."""
    more = {"source_dir": str(SCRIPTS), "through-zero": True}
    result = v3.run("train", image=none_image, data=points, hosts=hosts, **more)
    assert "model" in result, v3.log[-4000:]
    assert line_of(result["model"]) == {"slope": 2.6, "intercept": 0.0, "hosts": hosts}


def test_a_job_that_fails(v3: SDK, line_image: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/points.csv").write_text("0,1\n")
    result = v3.run("train", image=line_image, data=str(tmp_path / "one"))
    assert "exited with code: 1" in result.get("error", ""), v3.log[-4000:]
    assert "1 points make no line" in v3.log


def test_model_builder(v3: SDK, none_image: str, tmp_path: Path) -> None:
    """Its first server sees the folder `code` as the model, its second one the whole; see sdk/v3.py."""
    if not listens(REGISTRY):
        pytest.skip(f"ModelBuilder pulls every image, and no registry listens on {REGISTRY} (TEST_REGISTRY)")
    if listens("127.0.0.1:8080"):
        pytest.skip("ModelBuilder serves on port 8080, which is taken here")
    image = f"{REGISTRY}/{none_image}"
    must("tag", none_image, image)
    must("push", image)
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    shutil.copy(SCRIPTS / "inference.py", model / "code")
    for folder in (model, model / "code"):
        (folder / "line.json").write_text(json.dumps({"slope": 2, "intercept": 1}))
    answers = v3.run("serve", image=image, model=str(model), port=free_port(), requests=[[3, 4], [5]])
    assert answers == [[[7.0, 9.0]], [[11.0]]]  # the outer list is the SDK's
