"""From the start of `serve` to the first answer: models that load, load slowly or fail to load, and wrong settings."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serving.support.server import Start

INFERENCE = """
import json

def model_fn(model_dir):
    with open(model_dir + "/weights.json") as stream:
        return json.load(stream)

def predict_fn(data, model):
    return data * model["factor"]
"""


def test_ping_is_503_from_the_first_connection_and_then_200(start: Start) -> None:
    """Never a 502, a 500 or a connection that is closed without an answer."""
    server = start(TOY_LOAD_S="1")
    seen: list[int] = []
    while 200 not in seen:
        assert server.process.poll() is None, server.log()
        with contextlib.ExitStack() as stack:
            if not seen:  # nobody listens yet: refused, but never accepted and then dropped
                stack.enter_context(contextlib.suppress(ConnectionRefusedError))
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                seen.append(int(connection.recv(4096).split()[1]))
    assert set(seen) == {503, 200}
    assert seen.index(200) == len(seen) - 1


def test_invocations_get_503_with_retry_after_while_the_model_loads(start: Start) -> None:
    server = start(TOY_LOAD_S="3").ready(503)
    server.until(lambda: "still being loaded" in server.post(json=1).text, "the worker answers by itself")
    answer = server.post(json=1)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_model_is_loaded_once_per_worker_and_never_for_a_request(start: Start, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    server = start(MODEL_SERVER_WORKERS="2", TOY_LOADS=str(loads)).ready()
    for n in range(30):
        server.ask(n)
        server.get("/ping")
    server.until(lambda: len(loads.read_text().split()) == 2, "both workers have loaded")
    assert Counter(map(int, loads.read_text().split())) == Counter(server.workers())


@pytest.mark.parametrize("reason", ["the weights are torn", "exit"])
def test_failed_load_is_500_and_logged(start: Start, reason: str) -> None:
    server = start(TOY_LOAD_ERROR=reason, MODEL_SERVER_WORKERS="2").ready(500)
    for _ in range(5):
        assert server.get("/ping").content == b""
        assert server.post(json=1).status_code in (500, 503)  # 503 by a worker that still tries
    assert "weights" not in server.post(json=1).text

    def lines() -> list[str]:
        return [line for line in server.log().splitlines() if "cannot be loaded" in line]

    server.until(lambda: len(lines()) == 2, "each worker has said so")
    assert all("toy.py" in line and (reason in line or "SystemExit: 3" in line) for line in lines())


def test_a_worker_that_fails_to_load_does_not_make_the_others_look_ready(start: Start) -> None:
    """One fails at once and the other loads for long: /ping is 500 or 503, never 200."""
    code = (
        "import time, os\n"
        "class Model:\n"
        "    def load(self, model_dir):\n"
        "        try: os.mkdir(os.environ['SAGEMAKER_BASE_DIR'] + '/first')\n"
        "        except FileExistsError: time.sleep(60)\n"
        "        raise ValueError('no')\n"
        "    def predict(self, model, inputs): return inputs\n"
    )
    # Without nginx, which keeps its connections, and with them one worker.
    server = start(MODEL_HANDLER="half:Model", MODEL_SERVER_WORKERS="2", MODEL_SERVER_NGINX="off")
    (server.root / "code/half.py").write_text(code)
    server.ready(500)
    seen: set[int] = set()

    def both_have_answered() -> bool:
        with ThreadPoolExecutor(8) as pool:
            seen.update(pool.map(lambda _: server.status(), range(50)))
        return len(seen) > 1

    server.until(both_have_answered, "both workers have answered")
    assert seen == {500, 503}


@pytest.mark.parametrize(("switch", "load_s"), [("on", 60), ("off", 2)])
def test_requests_that_meet_a_worker_that_still_loads(start: Start, switch: str, load_s: int) -> None:
    """Behind nginx the other worker takes them all; where gunicorn listens itself they wait for it."""
    code = (
        "import time, os\n"
        "class Model:\n"
        "    def load(self, model_dir):\n"
        "        time.sleep(1)  # both accept connections\n"
        "        try: os.mkdir(os.environ['SAGEMAKER_BASE_DIR'] + '/first')\n"
        f"        except FileExistsError: time.sleep({load_s})\n"
        "    def cost(self, value): return 1.0\n"
        "    def predict(self, model, inputs): return inputs\n"
    )
    server = start(MODEL_HANDLER="half:Model", MODEL_SERVER_WORKERS="2", MODEL_SERVER_NGINX=switch)
    (server.root / "code/half.py").write_text(code)
    server.ready()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: server.post(json=n, timeout=20).json(), range(200)))
    assert answers == list(range(200))


def test_a_model_that_never_gets_ready_ends_serve(start: Start) -> None:
    server = start(TOY_LOAD_S="60", SAGEMAKER_STARTUP_TIMEOUT="2")
    assert server.ended() == 1
    assert "SAGEMAKER_STARTUP_TIMEOUT" in server.log()
    assert server.processes() == {}


@pytest.mark.parametrize("switch", ["on", "off"])
def test_port_in_use_ends_serve_with_a_message(start: Start, switch: str) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104
        taken.listen()
        server = start(SAGEMAKER_BIND_TO_PORT=str(taken.getsockname()[1]), MODEL_SERVER_NGINX=switch)
        assert server.ended() == 1
    assert "in use" in server.log()
    assert server.processes() == {}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"MODEL_SERVER_WORKERS": "many"}, "MODEL_SERVER_WORKERS is 'many'"),
        ({"MODEL_HANDLER": "newz"}, "newz"),
        ({"MODEL_HANDLER": "toy:Tyo"}, "Toy"),
        ({"MODEL_HANDLER": "nowhere:Model"}, "nowhere"),
        ({"SAGEMAKER_PROGRAM": "missing.py", "MODEL_HANDLER": ""}, "missing.py"),
        ({"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "image/png"}, "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"),
    ],
)
def test_wrong_settings_end_serve_with_a_message(start: Start, environ: dict[str, str], words: str) -> None:
    server = start(**environ)
    server.until(lambda: server.process.poll() is not None or server.status() == 500, "it ends, or says 500")
    assert server.process.poll() in (None, 1)
    assert words in server.log()
    assert "\nTraceback" not in server.log()


@pytest.mark.parametrize("name", ["container", "training", "serving", "handlers"])
@pytest.mark.parametrize("where", ["code", "model/code"])
def test_packages_of_the_user_may_be_called_like_our_folders(start: Start, root: Path, name: str, where: str) -> None:
    """An installation brings one name, byo_container; all others are the user's."""
    code = root / where
    (code / name).mkdir(parents=True, exist_ok=True)
    (code / name / "__init__.py").write_text("")
    (code / name / "parts.py").write_text("FACTOR = 3\n")
    (code / "inference.py").write_text(
        f"from {name}.parts import FACTOR\n"
        "def model_fn(d): return FACTOR\ndef predict_fn(data, model): return data * model\n"
    )
    assert start(root, MODEL_HANDLER="").ready().ask([1, 2]) == [3, 6]


def test_a_working_directory_with_our_names_changes_nothing(start: Start, tmp_path: Path) -> None:
    for room in ("serving", "container"):
        (tmp_path / "here" / room).mkdir(parents=True)
        (tmp_path / "here" / room / "__init__.py").write_text("raise ImportError('the wrong one')\n")
    assert start(cwd=tmp_path / "here").ready().ask([1]) == [1]


def test_help_names_the_variables_and_arguments_are_rejected() -> None:
    serve = Path(sys.executable).with_name("serve")
    for argument, status, said in (("--help", 0, "SAGEMAKER_BIND_TO_PORT"), ("now", 2, "see serve --help")):
        done = subprocess.run([serve, argument], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == status
        assert said in (done.stderr if status else done.stdout)


def test_without_nginx_gunicorn_listens_itself(start: Start) -> None:
    server = start(MODEL_SERVER_NGINX="off").ready()
    assert "gunicorn listens on port" in server.log()
    assert server.ask([1]) == [1]
    assert not [command for command in server.processes().values() if "nginx" in command]


def test_a_handler_json_is_enough(start: Start, root: Path) -> None:
    """What a training run leaves: the handler's name, and its code."""
    (root / "code").rename(root / "model/code")
    (root / "model/handler.json").write_text(json.dumps({"handler": "toy:Toy"}))
    assert start(root, MODEL_HANDLER="").ready().ask({"a": 1}) == {"a": 1}


def test_an_inference_py_is_served_unchanged(start: Start, root: Path) -> None:
    (root / "model/code").mkdir()
    (root / "model/code/inference.py").write_text(INFERENCE)
    (root / "model/weights.json").write_text('{"factor": 3}')
    server = start(root, MODEL_HANDLER="").ready()
    assert server.ask([1, 2]) == [3, 6]
    answer = server.post(data=b"1,2\n", headers={"Content-Type": "text/csv", "Accept": "text/csv"})
    assert (answer.status_code, answer.text) == (200, "3\n6\n")
    assert server.post(data=b"x", headers={"Content-Type": "image/png"}).status_code == 415


def test_the_requirements_beside_an_inference_py_are_installed(start: Start, root: Path, tmp_path: Path) -> None:
    """A wheel that lies beside the script, without any network; into a folder of the test's own."""
    code = root / "model/code"
    code.mkdir()
    with zipfile.ZipFile(code / "tripler-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tripler.py", "FACTOR = 3\n")
        wheel.writestr("tripler-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tripler\nVersion: 1.0\n")
        wheel.writestr("tripler-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tripler-1.0.dist-info/RECORD", "")
    (code / "requirements.txt").write_text("./tripler-1.0-py3-none-any.whl\n")
    (code / "inference.py").write_text(
        "import tripler\ndef model_fn(d): return tripler.FACTOR\ndef predict_fn(data, model): return data * model\n"
    )
    libraries = str(tmp_path / "lib")
    server = start(root, MODEL_HANDLER="", PIP_TARGET=libraries, PYTHONPATH=libraries, PIP_NO_INDEX="1").ready()
    assert server.ask([1, 2]) == [3, 6]


def test_requirements_that_break_the_server_are_explained(start: Start, root: Path, tmp_path: Path) -> None:
    """As sagemaker-containers does, which asks for a Flask of 2019."""
    with zipfile.ZipFile(root / "code/flask-1.1.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("flask.py", "raise ImportError('no part of this century')\n")
        wheel.writestr("flask-1.1.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: flask\nVersion: 1.1.1\n")
        wheel.writestr("flask-1.1.1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("flask-1.1.1.dist-info/RECORD", "")
    (root / "code/requirements.txt").write_text("./flask-1.1.1-py3-none-any.whl\n")
    libraries = str(tmp_path / "lib")
    server = start(root, PIP_TARGET=libraries, PYTHONPATH=libraries, PIP_NO_INDEX="1")
    assert server.ended() == 1
    assert "byo-container was tested with flask 3.1.3, which is 1.1.1 now" in server.log()
    assert f"`serve`, with what pip install -r requirements.txt in {root / 'code'} has installed" in server.log()
    assert "no part of this century" in server.log()


def test_requirements_that_cannot_be_installed_end_serve(start: Start, root: Path) -> None:
    (root / "code/requirements.txt").write_text("no-such-package-at-all==1.0\n")
    server = start(root, PIP_NO_INDEX="1")
    assert server.ended() == 1
    assert "no-such-package-at-all" in server.log()
    assert f"pip install -r requirements.txt in {root / 'code'} ended with status 1" in server.log()


def test_a_read_only_model_folder_is_enough(start: Start, root: Path) -> None:
    (root / "model/weights").write_text("x")
    shutil.move(root / "code", root / "model/code")
    for path in (root / "model").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (root / "model").chmod(0o555)
    before = sorted(root.joinpath("model").rglob("*"))
    assert start(root).ready().ask([1]) == [1]
    assert sorted(root.joinpath("model").rglob("*")) == before


@pytest.mark.parametrize(("batch", "named"), [("True", False), ("true", True)])
def test_execution_parameters_in_batch_transform(start: Start, batch: str, named: bool) -> None:
    parameters = start(SAGEMAKER_BATCH=batch).ready().get("/execution-parameters").json()
    assert ("BatchStrategy" in parameters) is named
    assert parameters["MaxPayloadInMB"] == 6


@pytest.mark.parametrize("family", ["SAGEMAKER_MODEL_SERVER_", "MODEL_SERVER_"])
def test_both_families_of_settings_reach_the_server(start: Start, family: str) -> None:
    environ = {"MODEL_SERVER_WORKERS": "", f"{family}WORKERS": "3", f"{family}TIMEOUT": "1"}
    server = start(**environ).ready()
    server.until(lambda: len(server.workers()) == 3, "there are three workers")
    answer = server.post(json={"sleep": 2})
    assert answer.status_code == 504
    assert "within 1 s" in answer.json()["message"]
