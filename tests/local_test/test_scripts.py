"""The three scripts that play the platform on one machine, with processes in place of containers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from byo_container.container.job import TrainingJob
from byo_container.container.paths import Paths

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = REPOSITORY / "local_test"
CONFIG = SCRIPTS / "test_dir/input/config"

HANDLER = """
class Shout:
    def train(self, job):
        text = job.channel("training").files("*.txt")[0].read_text()
        if "bad" in text:
            raise ValueError("this text is bad")
        (job.model_dir / "model.txt").write_text(text)

    def load(self, model_dir):
        return (model_dir / "model.txt").read_text()

    def predict(self, model, inputs):
        return [{"result": f"{item} {model}".upper()} for item in inputs]
"""


@pytest.fixture
def test_dir(tmp_path: Path) -> Path:
    """The repository's test_dir, with a handler of its own in the place of the news classifier."""
    folder = tmp_path / "test_dir"
    shutil.copytree(SCRIPTS / "test_dir/input", folder / "input")
    (folder / "input/config/hyperparameters.json").write_text('{"model_handler": "shout:Shout"}')
    (folder / "input/data/training/text.txt").write_text("!")
    (folder / "code").mkdir()
    (folder / "code/shout.py").write_text(HANDLER)
    return folder


def run(script: str, *arguments: str, test_dir: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / script, *arguments],
        env={**os.environ, "TEST_DIR": str(test_dir), **environ},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def port(test_dir: Path) -> Iterator[str]:
    """A server on `test_dir`, started by the script; where it is reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = str(free.getsockname()[1])
    assert run("train_local.sh", "--local", test_dir=test_dir).returncode == 0
    environ = {**os.environ, "TEST_DIR": str(test_dir), "PORT": number, "MODEL_SERVER_WORKERS": "1"}
    server = subprocess.Popen([SCRIPTS / "serve_local.sh", "--local"], env=environ)
    try:
        subprocess.run([SCRIPTS / "await.sh", str(server.pid)], env=environ, check=True, timeout=60)
        yield number
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(40) == 0


def test_trains_a_second_time_without_a_question_and_keeps_the_older_model(test_dir: Path) -> None:
    assert run("train_local.sh", "--local", test_dir=test_dir).returncode == 0
    (test_dir / "model/stale").write_text("from the first run")
    assert run("train_local.sh", "--local", test_dir=test_dir).returncode == 0
    assert (test_dir / "model/model.txt").read_text() == "!"
    assert not (test_dir / "model/stale").exists()
    assert (test_dir / "model.old/stale").exists()


def test_a_failing_job_fails_the_script_and_prints_the_failure_file(test_dir: Path) -> None:
    (test_dir / "input/data/training/text.txt").write_text("bad")
    result = run("train_local.sh", "--local", test_dir=test_dir)
    assert result.returncode == 1
    assert "ValueError: this text is bad" in result.stderr


@pytest.mark.parametrize(
    ("name", "payload", "answer"),
    [
        ("payload.json", '"hello"', '{"result":"HELLO !"}'),
        ("payload.txt", "one\ntwo\n", '[{"result":"ONE !"},{"result":"TWO !"}]'),
        ("payload.jsonl", '"one"\n"two"\n', '[{"result":"ONE !"},{"result":"TWO !"}]'),
    ],
)
def test_predict_sends_what_the_ending_says(
    test_dir: Path, port: str, tmp_path: Path, name: str, payload: str, answer: str
) -> None:
    (tmp_path / name).write_text(payload)
    without_curl = tmp_path / "bin"
    without_curl.mkdir()
    for tool in ("sh", "dirname", "python3", "sed"):
        (without_curl / tool).symlink_to(shutil.which(tool) or tool)
    for path in (os.environ["PATH"], str(without_curl)):
        result = run("predict.sh", str(tmp_path / name), test_dir=test_dir, PORT=port, PATH=path)
        assert (result.returncode, result.stdout) == (0, answer), result.stderr


def test_predict_with_a_content_type_of_its_own_and_an_error(test_dir: Path, port: str, tmp_path: Path) -> None:
    (tmp_path / "payload").write_text('"hello"')
    result = run("predict.sh", str(tmp_path / "payload"), "application/json", test_dir=test_dir, PORT=port)
    assert json.loads(result.stdout) == {"result": "HELLO !"}
    result = run("predict.sh", str(tmp_path / "payload"), "image/png", test_dir=test_dir, PORT=port)
    assert result.returncode != 0
    assert json.loads(result.stdout)["code"] == 415


@pytest.mark.parametrize("script", ["train_local.sh", "serve_local.sh", "predict.sh"])
def test_a_script_without_arguments_says_how_it_is_used(script: str, tmp_path: Path) -> None:
    result = run(script, test_dir=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(script)


@pytest.mark.parametrize(
    "variant", [None, *sorted((CONFIG / "variants").glob("*.json"))], ids=lambda path: path.name if path else "plain"
)
def test_every_config_file_of_test_dir_is_one_of_the_contract(variant: Path | None, tmp_path: Path) -> None:
    shutil.copytree(SCRIPTS / "test_dir/input", tmp_path / "input")
    if variant:
        shutil.copy(variant, tmp_path / "input/config" / f"{variant.name.split('.')[0]}.json")
    job = TrainingJob.read(Paths(tmp_path))
    assert job.hosts.current == job.hosts.all[0]
    assert "training" in job.channels
