"""SageMaker's Python SDK, version 2, drives the images unchanged in its local mode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from byo_container.handlers.news import sample
from tests.end_to_end.images.docker import REPOSITORY
from tests.end_to_end.images.sdk_runs import SDK, line_of
from tests.support.processes import free_port

pytestmark = [pytest.mark.docker, pytest.mark.sdk, pytest.mark.slow, pytest.mark.timeout(1800)]
SCRIPTS = REPOSITORY / "examples/own_scripts"


@pytest.fixture
def v2(tmp_path: Path) -> SDK:
    return SDK("v2", tmp_path / "sdk")


@pytest.mark.parametrize("hosts", [1, 2])
def test_fit(v2: SDK, line_image: str, points: str, hosts: int) -> None:
    result = v2.run("fit", image=line_image, data=points, hosts=hosts)
    assert "model" in result, v2.log[-4000:]
    assert line_of(result["model"]) == {"slope": 2.0, "intercept": 1.0, "hosts": hosts}
    assert "train_loss=0.000000" in v2.log


@pytest.mark.parametrize("hosts", [1, 2])
def test_fit_with_source_dir(v2: SDK, none_image: str, points: str, hosts: int) -> None:
    """Script mode, in an image without a model: the SDK encodes hyperparameters as JSON there."""
    result = v2.run(
        "fit",
        image=none_image,
        data=points,
        hosts=hosts,
        source_dir=str(SCRIPTS),
        entry_point="train.py",
        hyperparameters={"through-zero": True},
    )
    assert "model" in result, v2.log[-4000:]
    assert line_of(result["model"]) == {"slope": 2.6, "intercept": 0.0, "hosts": hosts}


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_job_that_fails(v2: SDK, line_image: str, tmp_path: Path, hosts: int) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/points.csv").write_text("0,1\n")
    result = v2.run("fit", image=line_image, data=str(tmp_path / "empty"), hosts=hosts)
    assert "exited with code: 1" in result.get("error", ""), v2.log[-4000:]
    assert "1 points make no line" in v2.log


def test_fit_deploy_predict(v2: SDK, line_image: str, points: str) -> None:
    requests = [("json", [3, 4]), ("csv", [[3], [4]])]
    answers = v2.run("fit_deploy_predict", image=line_image, data=points, port=free_port(), requests=requests)
    assert answers == [[7.0, 9.0], [["7.0"], ["9.0"]]]


def test_fit_deploy_predict_with_a_handler(v2: SDK, shout_image: str, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("??")
    answers = v2.run(
        "fit_deploy_predict",
        image=shout_image,
        data=str(tmp_path / "texts"),
        port=free_port(),
        requests=[("json", "hello")],
        hyperparameters={"mark": "?"},
    )
    assert answers == [{"result": "HELLO??"}]


def test_fit_deploy_predict_news(v2: SDK, news_image: str, tmp_path: Path) -> None:
    (tmp_path / "news").mkdir()
    sample.main([str(tmp_path / "news/newsCorpora.csv")])
    question = json.loads((REPOSITORY / "local_test/input.json").read_text())
    answers = v2.run(
        "fit_deploy_predict",
        image=news_image,
        data=str(tmp_path / "news"),
        port=free_port(),
        requests=[("json", question)],
    )
    assert answers[0]["result"] == "Health & Medicine"


def test_batch_transform(v2: SDK, line_image: str, points: str, tmp_path: Path) -> None:
    model = v2.run("fit", image=line_image, data=points)["model"]
    (tmp_path / "batch").mkdir()
    (tmp_path / "batch/xs.csv").write_text("3\n4\n5\n")
    written = v2.run("transform", image=line_image, model=model, data=str(tmp_path / "batch"), port=free_port())
    assert list(written) == ["xs.csv.out"]
    assert written["xs.csv.out"].split() == ["7.0", "9.0", "11.0"]
