"""The scripts of local_test/ on images: train, serve, predict, for each model that comes with us."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from byo_container.handlers.news import sample as headlines
from byo_container.handlers.translation import sample as sentences
from tests.end_to_end.images.docker import REPOSITORY
from tests.end_to_end.images.local_scripts import SCRIPTS, SMALL_TRANSLATION, predict, run, serving
from tests.support.tree import make_tree

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(2400)]


def train(image: str, test_dir: Path) -> None:
    done = run("train_local.sh", image, "--memory", "4g", test_dir=test_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    strange = [path for path in test_dir.rglob("*") if path.stat().st_uid != os.getuid()]
    assert not strange


def test_news(news_image: str, tmp_path: Path) -> None:
    make_tree(tmp_path, hyperparameters={"model_handler": "news"}, channels={"training": {}})
    headlines.write(tmp_path / "input/data/training/newsCorpora.csv")
    train(news_image, tmp_path)
    with serving(news_image, tmp_path) as port:
        answer = predict(tmp_path, port, json.loads((SCRIPTS / "input.json").read_text()))
    assert isinstance(answer, dict)
    assert answer["result"] == "Health & Medicine"


def test_translation(translation_image: str, tmp_path: Path) -> None:
    make_tree(tmp_path, hyperparameters=SMALL_TRANSLATION, channels={"training": {}})
    sentences.write(tmp_path / "input/data/training", 300, 50)
    train(translation_image, tmp_path)
    with serving(translation_image, tmp_path) as port:
        answer = predict(tmp_path, port, "der Bäcker sieht ein rotes Auto im Park .")
    assert isinstance(answer, str)  # of what quality, tests/handlers/translation shows


def test_a_failing_job_fails_the_script_and_says_why(line_image: str, tmp_path: Path) -> None:
    code = {"train.py": "raise ValueError('no such luck')\n"}
    make_tree(tmp_path, code=code)
    done = run("train_local.sh", line_image, test_dir=tmp_path)
    assert done.returncode == 1
    assert "no such luck" in done.stdout + done.stderr


def test_mpi_on_two_hosts(mpi_image: str, tmp_path: Path) -> None:
    """With what the extra mpi brings: Open MPI and sshd, as a user who is nobody's."""
    code = {"train.py": (REPOSITORY / "examples/mpi4py/train.py").read_text()}
    make_tree(tmp_path, hyperparameters={"launcher": "mpi", "processes_per_host": "2"}, code=code)
    done = run("train_local.sh", mpi_image, "--hosts", "2", test_dir=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of 4" in done.stdout, done.stdout
