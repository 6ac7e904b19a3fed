"""Handlers in the style of common frameworks, and requests as the clients of SageMaker's SDK,
TF Serving and Hugging Face send them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from byo_container.container.discovery import HandlerReference
from byo_container.serving.models.handler.model import HandlerModel
from byo_container.serving.models.servable import Request
from byo_container.serving.settings import Settings
from tests.serving.support.engine import engine_for
from tests.serving.support.websocket import WebSocketClient

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

JSON, CSV, NPY, LINES = "application/json", "text/csv", "application/x-npy", "application/jsonlines"


def asked_of(handler: str) -> Any:
    """A fixture: a server of one of the handlers in conventional.py."""

    @pytest.fixture(scope="module", name=handler.lower())
    def server(start_for_module: Start) -> Server:
        return start_for_module(handler=f"conventional:{handler}", MODEL_SERVER_NGINX="off").ready()

    return server


sklearn_server, onnx_server = asked_of("Sklearn"), asked_of("Onnx")
pipeline_server, mistaken_server = asked_of("Pipeline"), asked_of("Mistaken")


def npy(value: Any) -> bytes:
    """As NumpySerializer writes it."""
    stream = io.BytesIO()
    np.save(stream, np.asarray(value))
    return stream.getvalue()


def predict(server: Server, body: Any, content_type: str = JSON, accept: str = JSON) -> Any:
    """As a predictor of the SDK with its serializers: values in, values out."""
    data = json.dumps(body).encode() if content_type == JSON else body
    answer = server.post(data=data, headers={"Content-Type": content_type, "Accept": accept})
    assert answer.status_code == 200, f"{answer.text}\n{server.log()[-3000:]}"
    assert answer.headers["Content-Type"] == accept
    if accept == NPY:
        return np.load(io.BytesIO(answer.content)).tolist()
    return answer.text if accept == CSV else answer.json()


ROWS = [[1.0, 3.0], [5.0, 0.0], [2.0, 2.0]]


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "expected"),
    [
        (ROWS, JSON, JSON, [4, 5, 4]),
        ({"instances": ROWS}, JSON, JSON, {"predictions": [4, 5, 4]}),
        ({"inputs": ROWS}, JSON, JSON, [4, 5, 4]),
        ({"instances": ROWS, "signature_name": "serving_default"}, JSON, JSON, {"predictions": [4, 5, 4]}),
        ({"instances": ROWS}, JSON, CSV, "4.0\n5.0\n4.0\n"),
        (npy(ROWS), NPY, NPY, [4, 5, 4]),  # SKLearnPredictor
        (npy(ROWS), NPY, JSON, [4, 5, 4]),
        (npy([1.0, 3.0]), NPY, NPY, 4.0),
        (b"1,3\n5,0\n2,2", CSV, CSV, "4.0\n5.0\n4.0\n"),  # CSVSerializer ends with no line break
        (b"1.0,3.0", CSV, JSON, [4]),
        (b"[1, 3]\n[5, 0]\n", LINES, JSON, [4, 5]),
        ([], JSON, JSON, []),
        ({"instances": []}, JSON, JSON, {"predictions": []}),
        (npy(np.zeros((0, 2))), NPY, NPY, []),
    ],
)
def test_scikit_learn(sklearn: Server, body: Any, content_type: str, accept: str, expected: Any) -> None:
    assert predict(sklearn, body, content_type, accept) == expected


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "expected"),
    [
        ([[1, 3], [3, 1]], JSON, JSON, [[0.25, 0.75], [0.75, 0.25]]),
        (npy(np.array([[1, 3], [1, 9]], np.float64)), NPY, NPY, [[0.25, 0.75], [np.float32(0.1), np.float32(0.9)]]),
        (npy([[1, 9]]), NPY, JSON, [[0.1, 0.9]]),
        (b"1,9\n3,1", CSV, CSV, "0.1,0.9\n0.75,0.25\n"),
    ],
)
def test_onnx(onnx: Server, body: Any, content_type: str, accept: str, expected: Any) -> None:
    assert predict(onnx, body, content_type, accept) == expected


GOOD, BAD = {"label": "POSITIVE", "score": 0.5}, {"label": "NEGATIVE", "score": 0.5}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"inputs": "a good one"}, [GOOD]),
        ({"inputs": ["a good one", "a bad one"]}, [GOOD, BAD]),
        ({"inputs": ["good", "x"], "parameters": {"top_k": 2}, "options": {"wait_for_model": True}}, None),
        ({"inputs": "good", "parameters": None}, [GOOD]),
        ({"inputs": {"question": "why?"}}, [{"answer": "why?"}]),
        ({"instances": ["good"], "parameters": {}}, {"predictions": [GOOD]}),
        (["good", "stream"], [GOOD, "one two three "]),
        ("good", GOOD),
        ({"question": "why?"}, {"answer": "why?"}),
    ],
)
def test_transformers(pipeline: Server, body: Any, expected: Any) -> None:
    assert predict(pipeline, body) == (expected or [GOOD | {"score": 1.0}, BAD | {"score": 1.0}])


def test_single_input_may_be_streamed(pipeline: Server) -> None:
    answer = pipeline.post(json={"inputs": "stream"})
    assert (answer.text, answer.headers["Transfer-Encoding"]) == ("one two three ", "chunked")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"instances": {"a": 1}}, "'instances' must be a list of inputs"),
        ({"inputs": [], "paramters": {}}, "'paramters' beside 'inputs', where only 'parameters', 'options' may stand"),
        ({"inputs": ["a"], "instances": ["a"]}, "'inputs' beside 'instances'"),
        ({"inputs": "a", "parameters": [1]}, "'parameters' must be an object"),
        ({"inputs": [[1, 2]], "parameters": {"top_k": 2}}, "takes no parameters"),
    ],
)
def test_body_of_the_wrong_shape_is_400(sklearn: Server, body: Any, words: str) -> None:
    answer = sklearn.post(json=body)
    assert answer.status_code == 400
    assert words in answer.json()["message"]


def test_one_column_of_csv_is_texts_where_the_handler_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "class {}:\n    csv_squeeze = {}\n    def load(self, d): pass\n    def predict(self, m, i): return i\n"
    (tmp_path / "echoes.py").write_text(code.format("Texts", True) + code.format("Rows", False))
    monkeypatch.syspath_prepend(tmp_path)
    body = b'a\n"b,c"\nd,e\n'
    answers = [answer_of(f"echoes:{name}", tmp_path, body, CSV) for name in ("Texts", "Rows")]
    assert answers == [["a", "b,c", ["d", "e"]], [["a"], ["b,c"], ["d", "e"]]]
    assert answer_of("echoes:Texts", tmp_path, b'["a"]', JSON) == ["a"]


def answer_of(handler: str, model_dir: Path, body: bytes, kind: str) -> Any:
    """The answer in JSON, without a server."""
    model = HandlerModel(HandlerReference(handler, "the test"), model_dir, Settings())
    model.load()
    request = Request(body, kind, JSON, lambda header: "")
    return json.loads(model.respond(request, engine_for(model)).body)


def test_model_is_not_loaded_when_batched_is_not_true(start: Start, root: Path) -> None:
    code = "class Shout:\n    batched = 1\n    def load(self, d): pass\n    def predict(self, m, i): return i\n"
    (root / "code" / "shout.py").write_text(code)
    server = start(root, handler="shout:Shout", MODEL_SERVER_NGINX="off").ready(500)
    assert "shout:Shout.batched is 1; it must be True" in server.log()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("dict", "returned a dict; it must return a list with one output for the one input, such as [{…}]"),
        ("text", 'returned a str; it must return a list with one output for the one input, such as ["…"]'),
        ("None", "returned None; it must return a list with one output for the one input; is a `return` missing?"),
        (
            "generator",
            "returned a generator; it must return a list with one output for the one input. An output may be",
        ),
        ("two", "returned 2 outputs for 1 input; it must return a list with one output for the one input, in the same"),
    ],
)
def test_predict_that_returns_no_list_is_explained_in_the_log(mistaken: Server, kind: str, words: str) -> None:
    answer = mistaken.post(json=kind)
    assert answer.status_code == 500
    request_id = answer.headers["X-Request-Id"]
    assert request_id in answer.json()["message"]
    (line,) = [line for line in mistaken.log().splitlines() if f"request {request_id} failed" in line]
    assert f"predict of conventional:Mistaken {words}" in line


@pytest.mark.parametrize(("kind", "expected"), [("tuple", "tuple"), ("deque", "deque"), ("array", 0)])
def test_predict_may_return_other_collections(mistaken: Server, kind: str, expected: Any) -> None:
    assert mistaken.ask(kind) == expected


def test_large_response_is_encoded_in_a_thread(mistaken: Server) -> None:
    """Whatever the size of the request was."""
    assert mistaken.ask({"large": 10})[0] == "in the loop"
    assert mistaken.ask({"large": 100_000})[0] == "beside it"
    assert mistaken.ask({"large": 10, "more": "x" * 100_000})[0] == "in the loop"


def test_stream_with_a_rejected_media_type_is_closed(mistaken: Server) -> None:
    before = mistaken.ask("closed")
    assert mistaken.post(json={"type": "a/b\r\nX: y"}).status_code == 500
    assert mistaken.ask("closed") == before + 1


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "X-Amzn-SageMaker-Custom-Attributes", "X-None"])
def test_headers_by_http_and_by_websocket_are_the_same(mistaken: Server, name: str) -> None:
    headers = {"Content-Type": "application/json", "X-Amzn-SageMaker-Custom-Attributes": "a=1, b=2"}
    client = WebSocketClient(mistaken, headers)
    assert mistaken.ask({"header": name}, headers=headers) == client.ask(name)
    client.socket.close()
