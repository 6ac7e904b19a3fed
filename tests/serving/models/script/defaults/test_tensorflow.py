"""A SavedModel served without any code, by the contract of TensorFlow Serving's REST interface."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from byo_container.container.failure import JobError
from byo_container.container.model_files import find_saved_model
from byo_container.serving.errors import RequestError
from byo_container.serving.models.script.defaults import tensorflow as defaults
from byo_container.serving.models.script.defaults.tensorflow import Payload, arrange, rows_of
from tests.support.tree import write_files

if TYPE_CHECKING:
    from tests.serving.support.server import Start

JSON, CSV, LINES, NPY = "application/json", "text/csv", "application/jsonlines", "application/x-npy"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["saved_model.pb"], "."),
        (["1/saved_model.pb"], "1"),
        (["9/saved_model.pb", "10/saved_model.pb", "11/variables/x"], "10"),
        (["000000001/saved_model.pb"], "000000001"),
        (
            ["export/Servo/1600000000/saved_model.pb", "export/Servo/1500000000/saved_model.pb"],
            "export/Servo/1600000000",
        ),
        (["model/saved_model.pb"], None),
        (["model.keras"], None),
        ([], None),
    ],
)
def test_find_saved_model(tmp_path: Path, files: list[str], found: str | None) -> None:
    write_files(tmp_path, dict.fromkeys(files, ""))
    assert find_saved_model(tmp_path) == (tmp_path / found if found else None)


def spec(rank: int | None) -> Any:
    return SimpleNamespace(shape=SimpleNamespace(rank=rank))


ROW, TEXT, TWO = {"x": spec(2)}, {"t": spec(1)}, {"x": spec(2), "n": spec(1)}


@pytest.mark.parametrize(
    ("payload", "inputs", "arranged"),
    [
        (Payload([[1, 2]]), ROW, {"x": [[1, 2]]}),
        (Payload([{"x": [1, 2]}, {"x": [3, 4]}]), ROW, {"x": [[1, 2], [3, 4]]}),
        (Payload([{"n": 1, "x": [1]}, {"x": [2], "n": 2}]), TWO, {"n": [1, 2], "x": [[1], [2]]}),
        (Payload([{"b64": "YQ=="}]), TEXT, {"t": [{"b64": "YQ=="}]}),
        (Payload([[1, 2]], by_row=False), ROW, {"x": [[1, 2]]}),
        (Payload({"x": [[1, 2]], "n": [1]}, by_row=False), TWO, {"x": [[1, 2]], "n": [1]}),
        # A bare value: instances where it has the model's dimensions, else one instance.
        (Payload([1, 2], bare=True), ROW, {"x": [[1, 2]]}),
        (Payload([[1, 2]], bare=True), ROW, {"x": [[1, 2]]}),
        (Payload([[1, 2]], bare=True), {"x": spec(None)}, {"x": [[1, 2]]}),
        (Payload({"x": [1, 2]}, bare=True), ROW, {"x": [[1, 2]]}),
        (Payload([{"x": [1], "n": 1}], bare=True), TWO, {"x": [[1]], "n": [1]}),
        (Payload(["a", "b"], bare=True), TEXT, {"t": ["a", "b"]}),
        (Payload("a", bare=True), TEXT, {"t": ["a"]}),
        (Payload([["a"], ["b"]], bare=True), TEXT, {"t": ["a", "b"]}),
    ],
)
def test_values_are_arranged_by_input(payload: Payload, inputs: Any, arranged: Any) -> None:
    assert arrange(payload, inputs) == arranged


@pytest.mark.parametrize(
    ("payload", "inputs", "reason"),
    [
        (Payload([[1, 2]]), TWO, "the model takes n and x: send objects with these names"),
        (Payload([{"x": [1]}]), TWO, "the model takes n and x, and was sent x"),
        (Payload([{"y": 1}]), ROW, "the model takes x, and was sent y"),
        (Payload([{"x": [1], "n": 1}, {"x": [1]}]), TWO, "instance 1 has no n"),
        (Payload({}, by_row=False), ROW, "the model takes x, and was sent none"),
    ],
)
def test_input_names_that_do_not_fit_are_400(payload: Payload, inputs: Any, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        arrange(payload, inputs)
    assert caught.value.status == 400


def test_several_outputs_become_objects() -> None:
    outputs = {
        "y": np.array([1.5, 2]),
        "raw_bytes": np.array([b"a", b"b"], object),
        "t": np.array([b"a", b"\xff"], object),
    }
    assert rows_of(outputs) == [
        {"y": 1.5, "raw_bytes": {"b64": "YQ=="}, "t": "a"},
        {"y": 2.0, "raw_bytes": {"b64": "Yg=="}, "t": {"b64": "/w=="}},
    ]
    with pytest.raises(RequestError, match="no row for each instance"):
        rows_of({"y": np.array([1.5, 2]), "n": np.array(3)})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Signatures of all kinds: what is sent comes back, changed a little."""
    tf = pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("model")
    save(tf, folder / "1")
    return defaults.model_fn(str(folder), None)


def save(tf: Any, folder: Path) -> None:
    def signature(function: Any, **specs: Any) -> Any:
        return tf.function(function, input_signature=[tf.TensorSpec(*spec, name=name) for name, spec in specs.items()])

    row = ([None, 2], tf.float32)
    module = tf.Module()
    module.double = signature(lambda x: {"y": x * 2}, x=row)
    module.two = signature(lambda x, n: {"y": x, "m": n + 1}, x=row, n=([None], tf.int64))
    module.text = signature(lambda text: {"upper": tf.strings.upper(text)}, text=([None], tf.string))
    module.look_up = signature(lambda ids: {"y": tf.gather(tf.range(10.0), ids)}, ids=([None, 2], tf.int32))
    module.negate = signature(lambda flags: {"not": tf.logical_not(flags)}, flags=([None], tf.bool))
    names = ("two", "text", "look_up", "negate")
    signatures = {"serving_default": module.double, **{name: getattr(module, name) for name in names}}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def ask(model: Any, body: bytes, content_type: str = JSON, accept: str = JSON) -> bytes:
    data = defaults.input_fn(body, content_type, None)
    answer: bytes = defaults.output_fn(defaults.predict_fn(data, model, None), accept, None)[0]
    return answer


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "answer"),
    [
        (b'{"instances": [[1, 2], [3, 4.5]]}', JSON, JSON, {"predictions": [[2, 4], [6, 9]]}),
        (b'{"instances": [{"x": [1, 2]}]}', JSON, JSON, {"predictions": [[2, 4]]}),
        (b'{"inputs": {"x": [[1, 2]]}}', JSON, JSON, {"outputs": [[2, 4]]}),
        (b"[[1, 2]]", JSON, JSON, {"predictions": [[2, 4]]}),
        (b"1,2\n3,4\n", CSV, JSON, {"predictions": [[2, 4], [6, 8]]}),
        (b"[1,2]\n[3,4]\n", LINES, JSON, {"predictions": [[2, 4], [6, 8]]}),
        (b'{"instances": [[1, 2]]}\n', LINES, JSON, {"predictions": [[2, 4]]}),
        (b"[[1, 2], [3, 4]]", "application/jsons", LINES, {"predictions": [[2, 4], [6, 8]]}),
        (npy(np.array([[1, 2]], "float32")), NPY, JSON, {"predictions": [[2, 4]]}),
        (
            b'{"signature_name": "two", "inputs": {"x": [[1, 2]], "n": [1]}}',
            JSON,
            JSON,
            {"outputs": {"m": [2], "y": [[1, 2]]}},
        ),
        (b'{"signature_name": "text", "instances": ["a", {"b64": "Yg=="}]}', JSON, JSON, {"predictions": ["A", "B"]}),
        (b'{"signature_name": "look_up", "instances": [[1, 2.0]]}', JSON, JSON, {"predictions": [[1, 2]]}),
        (b'{"signature_name": "negate", "instances": [true]}', JSON, JSON, {"predictions": [False]}),
    ],
)
def test_requests_and_answers(model: Any, body: bytes, content_type: str, accept: str, answer: Any) -> None:
    assert json.loads(ask(model, body, content_type, accept)) == answer
    assert ask(model, b"1,2\n", CSV, CSV) == b"2.0,4.0\n"


ROWS = r"input 'x' takes float32 of shape \(any, 2\); what was sent "


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"instances": [[1, 2, 3]]}', ROWS + r"has shape \(1, 3\)"),
        (b'{"instances": [[1, 2], [3]]}', ROWS + "is none: its lists differ in length"),
        (b'{"instances": [["a", "b"]]}', ROWS + "is none: could not convert string to float: 'a'"),
        (b'{"instances": [[1, null]]}', ROWS + "is none: it holds null, NaN"),
        (b'{"instances": [[1, 1e300]]}', ROWS + "is none: it holds .* a number that is too large"),
        (b'{"instances": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}", ROWS),
        (b'{"instances": 1}', "instances must be a list"),
        (b'{"instances": [1], "inputs": 1}', "both instances and inputs"),
        (b'{"signature_name": "no", "instances": [1]}', "no signature 'no'; it has look_up, negate, serving_default"),
        (b'{"examples": [1]}', "classify and regress are not here"),
        (b'{"signature_name": "text", "instances": [1]}', r"takes string of shape \(any\).*texts are expected, not 1"),
        (b'{"signature_name": "text", "instances": [{"b64": "*"}]}', '"b64" is no base64'),
        (b'{"signature_name": "look_up", "instances": [[1, 1.5]]}', "takes int32.*whole numbers are expected"),
        (b'{"signature_name": "look_up", "instances": [[1, 5000000000]]}', "takes int32.*out of bounds"),
        (
            b'{"signature_name": "look_up", "instances": [[1, 99]]}',
            r"cannot compute this: indices\[0,1\] = 99 is not in",
        ),
        (b'{"signature_name": "negate", "instances": [1]}', "true and false are expected"),
    ],
)
def test_values_that_do_not_fit_are_explained(model: Any, body: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        ask(model, body)
    assert caught.value.status == 400


def test_unloadable_saved_models_are_explained(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(JobError, match=r"has no SavedModel, which is a folder with saved_model\.pb"):
        defaults.model_fn(str(tmp_path), None)
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(JobError, match="has no signatures"):
        defaults.model_fn(str(tmp_path), None)
    write_files(tmp_path, {"2/saved_model.pb": "torn"})
    with pytest.raises(JobError, match="2 cannot be loaded as a SavedModel"):
        defaults.model_fn(str(tmp_path), None)


@pytest.mark.slow
def test_saved_model_is_served_without_code(start: Start, root: Path) -> None:
    save(pytest.importorskip("tensorflow"), root / "model" / "1")
    (root / "model" / "handler.json").unlink(missing_ok=True)
    server = start(root, MODEL_HANDLER="").ready(timeout_s=90)
    assert server.ask({"instances": [[1, 2]]}) == {"predictions": [[2.0, 4.0]]}
    refused = server.post(json={"instances": [[1, 2, 3]]})
    assert (refused.status_code, refused.json()["code"]) == (400, 400)
    assert "input 'x' takes float32 of shape (any, 2); what was sent has shape (1, 3)" in refused.json()["message"]
    line = "TensorFlow Serving's defaults are used, because the model folder has 1/saved_model.pb"
    assert server.log().count(line) == 1


@pytest.mark.slow
def test_saved_model_in_multi_model_mode(start: Start, root: Path) -> None:
    folder = root / "models" / "double"
    save(pytest.importorskip("tensorflow"), folder / "1")
    server = start(root, MODEL_HANDLER="", SAGEMAKER_MULTI_MODEL="true").ready()
    loaded = server.post("/models", json={"model_name": "double", "url": str(folder)}, timeout=90)
    assert loaded.status_code == 200, loaded.text
    answer = server.post("/models/double/invoke", json={"instances": [[1, 2]]})
    assert (answer.status_code, answer.json()) == (200, {"predictions": [[2.0, 4.0]]})
