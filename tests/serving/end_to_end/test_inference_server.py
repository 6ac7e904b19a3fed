"""An inference.py behind a running `serve`: responses and log."""

from __future__ import annotations

import pytest

from tests.serving.support.server import Server, Start, make_root

SCRIPT = """
import json
import subprocess
import sys
from byo_container.container.handler import InputError

class ClientError(Exception):
    __module__ = "sagemaker_inference.errors"
    status_code, message = 422, "send a list"

def model_fn(model_dir, context):
    return context

def input_fn(data, content_type):
    return {"kind": type(data).__name__, "content_type": content_type, "data": data}

def predict_fn(data, model):
    wish = json.loads(data.pop("data"))
    if wish == "refuse":
        raise InputError("send something else")
    if wish == "toolkit":
        raise ClientError(1, 2, 3)
    if wish == "subprocess":
        return {"said": subprocess.check_output([sys.executable, "-m", "beside_the_script"], text=True)}
    if wish == "exit":
        raise KeyboardInterrupt
    if isinstance(wish, dict):
        for key, value in wish.items():
            model.set_response_header(idx=0, key=key, value=value)
        model.set_response_status(code=202, phrase="Taken", idx=0)
    data["seen"] = model.get_all_request_header(0).get("X-AMZN-SageMaker-Custom-Attributes")
    return data

def output_fn(prediction, accept):
    return dict(prediction, accept=accept)
"""


@pytest.fixture(scope="module")
def served(start_for_module: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = make_root(tmp_path_factory.mktemp("script") / "ml")
    (root / "model" / "code").mkdir()
    (root / "model" / "code" / "inference.py").write_text(SCRIPT)
    (root / "model" / "code" / "beside_the_script.py").write_text("print('by itself')")
    return start_for_module(root, MODEL_HANDLER="").ready()


def test_headers_reach_the_script_and_an_object_comes_back(served: Server) -> None:
    sent = {
        "Content-Type": "application/x-mine; Version=2",
        "Accept": "Application/JSON; indent=1",
        "X-Amzn-SageMaker-Custom-Attributes": "trace=7",
    }
    answer = served.post(data=b"1", headers=sent)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, sent["Accept"])
    assert answer.json() == {
        "kind": "bytearray",
        "content_type": sent["Content-Type"],
        "accept": sent["Accept"],
        "seen": "trace=7",
    }


def test_a_script_sets_status_type_and_headers(served: Server) -> None:
    answer = served.post(json={"Content-Type": "text/x-mine", "X-Mine": "yes"})
    assert (answer.status_code, answer.headers["Content-Type"], answer.headers["X-Mine"]) == (202, "text/x-mine", "yes")


@pytest.mark.parametrize("header", ["Content-Length", "Transfer-Encoding", "X-Accel-Redirect", "X Y"])
def test_hop_by_hop_header_from_a_script_is_an_error(served: Server, header: str) -> None:
    answer = served.post(json={header: "100"}, timeout=20)
    assert answer.status_code == 500
    assert answer.json()["message"].startswith("the model failed on this request")
    assert f"the answer's header {header}" in served.log().replace(f"'{header}'", header)


@pytest.mark.parametrize(
    ("wish", "status", "message"), [("refuse", 400, "send something else"), ("toolkit", 422, "send a list")]
)
def test_what_a_script_refuses_is_a_line_of_the_log(served: Server, wish: str, status: int, message: str) -> None:
    answer = served.post(json=wish, headers={"X-Request-Id": f"id-of-{wish}"})
    assert (answer.status_code, answer.json()["message"]) == (status, message)
    (logged,) = [line for line in served.log().splitlines() if message in line]
    assert f"{status}: {message}" in logged
    assert answer.headers["X-Request-Id"] in logged


def test_keyboard_interrupt_in_a_script_fails_one_request(served: Server) -> None:
    assert served.post(json="exit").status_code == 500
    assert served.post(json=1).json()["accept"] == "application/json"


def test_a_subprocess_of_the_script_finds_the_code_beside_it(served: Server) -> None:
    answer = served.post(data=b'"subprocess"', headers={"Content-Type": "application/json"})
    assert answer.json()["said"] == "by itself\n"
