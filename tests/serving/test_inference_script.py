"""inference.py by the conventions of SageMaker's toolkits."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from container.failure import JobError
from serving.errors import RequestError
from serving.inference_script import ScriptModel
from serving.models import Reply, Request
from serving.settings import Settings

LOAD = "def model_fn(model_dir): return 10\n"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load(code: str, **settings: Any) -> ScriptModel:
        path = tmp_path / "inference.py"
        path.write_text(textwrap.dedent(code))
        model = ScriptModel(path, tmp_path, Settings(**settings))
        model.load()
        return model

    return load


def outcome(
    model: ScriptModel, body: bytes = b"[1, 2]", content_type: str = "", accept: str = "", **headers: str
) -> Any:
    variables = {"CONTENT_TYPE": content_type, **{f"HTTP_{name.upper()}": value for name, value in headers.items()}}
    request = Request(body, content_type, accept, lambda name: headers.get(name, ""), variables=variables)
    (outcome,) = model.compute([request])
    return outcome[0] if isinstance(outcome, tuple) else outcome


def answer(model: ScriptModel, *arguments: Any, **headers: Any) -> Reply:
    reply = outcome(model, *arguments, **headers)
    assert isinstance(reply, Reply), reply
    return reply


WITHOUT_CONTEXT = """
    def model_fn(model_dir): return [model_dir]
    def input_fn(data, content_type): return [type(data).__name__, data, content_type]
    def predict_fn(data, model): return data + model
    def output_fn(prediction, accept): return repr(prediction + [accept])
"""
WITH_CONTEXT = """
    def model_fn(model_dir, context): return [context.system_properties["model_dir"]]
    def input_fn(data, content_type, context=None): return [type(data).__name__, data, content_type]
    def predict_fn(data, model, context): return data + model
    def output_fn(prediction, accept, context): return repr(prediction + [accept])
"""
TRANSFORM = """
    def model_fn(model_dir): return [model_dir]
    def transform_fn(model, data, content_type, accept):
        return repr([type(data).__name__, data, content_type, *model, accept])
"""


def test_what_is_to_happen_before_and_after_loading(load: Any, tmp_path: Path) -> None:
    code = """
        import os
        def pre_model_fn(model_dir): open(os.path.join(model_dir, "before"), "w").close()
        def model_fn(model_dir): return [os.path.exists(os.path.join(model_dir, "before"))]
        def model_warmup_fn(model_dir, model): model.append("warm")
        def predict_fn(data, model): return model
    """
    assert answer(load(code)).body == b'[true,"warm"]'


def test_the_context_shows_all_headers_and_sets_some(load: Any) -> None:
    code = (
        LOAD
        + """
def transform_fn(model, data, content_type, accept, context):
    context.set_response_header(0, "X-Seen", context.get_request_header(0, "X_One"))
    return repr(context.get_all_request_header(0))
"""
    )
    reply = answer(load(code), b"1", "text/csv", X_One="1")
    assert reply.body.decode() == repr({"Content-Type": "text/csv", "X-One": "1"})
    assert reply.headers == (("X-Seen", "1"),)
    code = code.replace('context.get_request_header(0, "X_One")', '"a\\r\\nX-Evil: 1"')
    assert isinstance(outcome(load(code)), ValueError)


@pytest.mark.parametrize("code", [WITHOUT_CONTEXT, WITH_CONTEXT, TRANSFORM])
def test_each_function_gets_what_the_convention_says(load: Any, tmp_path: Path, code: str) -> None:
    reply = answer(load(code), b"[1]", "application/json; charset=utf-8", "text/csv")
    assert reply.body.decode() == repr(["str", "[1]", "application/json", str(tmp_path), "text/csv"])
    assert reply.content_type == "text/csv"


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [("application/json", "str"), ("text/csv", "str"), ("application/x-npy", "bytes"), ("image/png", "bytes")],
)
def test_only_json_and_csv_come_as_text(load: Any, content_type: str, kind: str) -> None:
    assert f"['{kind}'," in answer(load(WITHOUT_CONTEXT), b"1", content_type).body.decode()


@pytest.mark.parametrize("name", ["application/x-ndjson", "application/jsonl", "image/png"])
def test_media_types_keep_the_clients_own_name(load: Any, name: str) -> None:
    reply = answer(load(WITHOUT_CONTEXT), b"1", name, name)
    assert reply.body.count(name.encode()) == 2
    assert reply.content_type == name


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("", "text/csv"), ("*/*", "text/csv"), ("image/png", "image/png"), ("text/plain;q=0.1, image/png", "image/png")],
)
def test_output_fn_is_asked_for_the_clients_favourite(load: Any, accept: str, expected: str) -> None:
    assert answer(load(WITHOUT_CONTEXT, default_accept="text/csv"), b"1", "", accept).content_type == expected


def test_without_an_output_fn_the_answer_is_negotiated(load: Any) -> None:
    model = load(LOAD + "def predict_fn(data, model): return data * model")
    assert answer(model, b"[1, 2]", "", "text/html, text/csv;q=0.5").body == b"10\n20\n"
    refused = outcome(model, b"[1, 2]", "", "text/html")
    assert isinstance(refused, RequestError)
    assert refused.status == 406


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"[1, 2]", "application/json", b"[10,20]"),
        (b"1,2\n3,4\n", "text/csv; charset=utf-8", b"[[10,20],[30,40]]"),
        (b"1,2.5\n", "text/csv", b"[10.0,25.0]"),
        (npy([1, 2]), "application/x-npy", b"[10,20]"),
        (b"1\n2\n", "application/jsonlines", b"[10,20]"),
    ],
)
def test_default_functions(load: Any, body: bytes, content_type: str, expected: bytes) -> None:
    """As a toolkit's: arrays in, the model called or predict_fn, JSON out."""
    model = load("def model_fn(model_dir): return lambda data: data * 10")
    assert answer(model, body, content_type).body == expected


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"1,2\n3\n", "text/csv", 400),
        (b"[[1], [1, 2]]", "application/json", 400),
        (npy([{"a": 1}]), "application/x-npy", 400),
        (b"x", "image/png", 415),
        (b"\xff", "text/csv", 400),
    ],
)
def test_default_functions_refuse_what_is_no_array(load: Any, body: bytes, content_type: str, status: int) -> None:
    refused = outcome(load(LOAD + "def predict_fn(data, model): return data"), body, content_type)
    assert isinstance(refused, RequestError), refused
    assert refused.status == status


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ("'text'", b"text", "text/csv"),
        ("b'bytes'", b"bytes", "text/csv"),
        ("bytearray(b'x')", b"x", "text/csv"),
        ("('text', 'text/html')", b"text", "text/html"),
        ("(b'bytes', 'image/png')", b"bytes", "image/png"),
    ],
)
def test_a_body_may_come_with_its_type(load: Any, returned: str, body: bytes, content_type: str) -> None:
    reply = answer(load(LOAD + f"def transform_fn(m, d, c, a): return {returned}"), b"1", "", "text/csv")
    assert (reply.body, reply.content_type) == (body, content_type)


@pytest.mark.parametrize("returned", ["{'a': 1}", "None", "1.5", "('x', None)", "('x', 'a\\nb')", "('x', 'y', 'z')"])
def test_anything_else_in_place_of_a_body_is_the_scripts_fault(load: Any, returned: str) -> None:
    error = outcome(load(LOAD + f"def transform_fn(m, d, c, a): return {returned}"))
    assert isinstance(error, TypeError)
    assert "output_fn returned" in str(error)


@pytest.mark.parametrize(("status", "told"), [(400, True), (404, True), (507, True), (200, False), ("400", False)])
def test_errors_with_a_status_of_their_own_keep_it(load: Any, status: Any, told: bool) -> None:
    code = f"""
        class Bad(Exception): status_code = {status!r}
        def model_fn(model_dir): return 1
        def predict_fn(data, model): raise Bad("send less")
    """
    error = outcome(load(code))
    assert isinstance(error, RequestError) is told
    if told:
        assert (error.status, error.message) == (status, "send less")


@pytest.mark.parametrize("raised", ["ValueError('x')", "SystemExit(1)", "MemoryError()"])
def test_other_errors_are_handed_back(load: Any, raised: str) -> None:
    error = outcome(load(LOAD + f"def predict_fn(data, model): raise {raised}"))
    assert type(error).__name__ in raised


def test_the_context_reads_headers_and_sets_status_and_type(load: Any) -> None:
    code = """
        def model_fn(model_dir): return 1
        def transform_fn(model, data, content_type, accept, context):
            context.set_response_status(202)
            context.set_response_content_type(0, "text/html")
            return context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
    """
    reply = answer(load(code), b"1", "", "", **{"X-Amzn-SageMaker-Custom-Attributes": "hello"})
    assert reply == Reply(b"hello", "text/html", 202)


@pytest.mark.parametrize("status", [0, 100, 999, "'200'"])
def test_a_status_that_is_none_is_the_scripts_fault(load: Any, status: object) -> None:
    code = f"def transform_fn(m, d, c, a, context): context.set_response_status({status}); return ''"
    assert isinstance(outcome(load(LOAD + code)), ValueError)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1", "defines none of model_fn"),
        ("def predict_fn(data, model): return 1", "must define model_fn"),
        (LOAD, "must define predict_fn"),
        (LOAD + "def predict_fn(data): return 1", "predict_fn takes 1 arguments; it must take 2, or 3 with context"),
        ("def model_fn(model_dir, context, more): return 1", "model_fn takes 3 arguments"),
        (
            LOAD + "def transform_fn(m, d, c, a): return d\ndef predict_fn(d, m): return d",
            "takes the place of predict_fn",
        ),
        (LOAD + "def transform_fn(m, d, c, a): return d\ndef input_fn(d, c): return d", "takes the place of input_fn"),
    ],
)
def test_a_script_that_cannot_work_is_told_at_load(load: Any, tmp_path: Path, code: str, words: str) -> None:
    with pytest.raises(JobError) as caught:
        load(code)
    assert words in str(caught.value)
    assert str(tmp_path / "inference.py") in str(caught.value)
