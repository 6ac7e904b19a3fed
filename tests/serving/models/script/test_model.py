"""inference.py by the conventions of SageMaker's toolkits."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.serving.codecs.negotiation import favorite
from byo_container.serving.errors import ModelRefusalError, RequestError
from byo_container.serving.headers import cgi_name, look_up
from byo_container.serving.models.script.model import ScriptModel
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.settings import Settings
from tests.serving.support.engine import engine_for

LOAD = "def model_fn(model_dir): return 10\n"


def outcome(
    model: ScriptModel, body: bytes = b"[1, 2]", content_type: str = "", accept: str = "", **headers: str
) -> Any:
    (outcome,) = model.compute([request_of(body, content_type, accept, **headers)])
    return outcome


def request_of(body: bytes = b"[1, 2]", content_type: str = "", accept: str = "", **headers: str) -> Request:
    variables = {cgi_name(name): value for name, value in headers.items()}
    variables |= {"CONTENT_TYPE": content_type} if content_type else {}
    return Request(body, content_type, accept, partial(look_up, variables), variables=variables)


def respond(model: ScriptModel, *arguments: Any, **headers: Any) -> Reply:
    """Through an engine, as in the event loop."""
    return model.respond(request_of(*arguments, **headers), engine_for(model))


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


def test_pre_model_fn_and_model_warmup_fn(load: Any, tmp_path: Path) -> None:
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
    assert reply.body.decode() == repr({"X-One": "1", "Content-Type": "text/csv"})
    assert reply.headers == (("X-Seen", "1"),)
    code = code.replace('context.get_request_header(0, "X_One")', '"a\\r\\nX-Evil: 1"')
    assert isinstance(outcome(load(code)), ValueError)


@pytest.mark.parametrize("code", [WITHOUT_CONTEXT, WITH_CONTEXT, TRANSFORM])
def test_functions_get_the_arguments_of_the_convention(load: Any, tmp_path: Path, code: str) -> None:
    reply = answer(load(code), b"[1]", "application/json", "text/csv")
    assert reply.body.decode() == repr(["str", "[1]", "application/json", str(tmp_path), "text/csv"])
    assert reply.content_type == "text/csv"


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("", "str"),
        ("application/json", "str"),
        ("text/csv", "str"),
        ("application/csv", "bytearray"),
        ("text/json", "bytearray"),
        ("Text/CSV", "bytearray"),
        ("text/csv; charset=utf-8", "bytearray"),
        ("application/x-npy", "bytearray"),
        ("image/png", "bytearray"),
    ],
)
def test_only_json_and_csv_come_as_text(load: Any, content_type: str, kind: str) -> None:
    """By these very names, as sagemaker_inference.content_types.UTF8_TYPES has them."""
    assert f"['{kind}'," in answer(load(WITHOUT_CONTEXT), b"1", content_type).body.decode()


@pytest.mark.parametrize(
    "sent", ["multipart/form-data; boundary=XX", "application/x;Json-Header-Size=175", "Image/PNG", "text/json"]
)
def test_media_types_reach_the_functions_as_they_were_sent(load: Any, sent: str) -> None:
    for code in (WITHOUT_CONTEXT, TRANSFORM):
        reply = answer(load(code), b"1", sent, sent)
        assert reply.body.decode().count(repr(sent)) == 2
        assert reply.content_type == sent


def test_contenttype_header_without_a_hyphen(load: Any) -> None:
    assert b"'text/csv'" in answer(load(WITHOUT_CONTEXT), b"1", "text/plain", ContentType="text/csv").body


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", ""),
        ("*/*", ""),
        ("text/csv, application/json", "text/csv"),
        ("text/plain;q=0.1, Image/PNG", "Image/PNG"),
        ("application/vnd.x;A=B", "application/vnd.x;A=B"),
        ("application/vnd.x;a=B;q=0.5", "application/vnd.x; a=B"),
        ("a/b;q=0", "a/b;q=0"),
    ],
)
def test_favorite_is_the_media_type_of_the_best_quality(accept: str, expected: str) -> None:
    assert favorite(accept) == expected


def test_accept_with_control_characters_is_406(load: Any) -> None:
    refused = outcome(load(WITHOUT_CONTEXT), b"1", "", "text/\x07")
    assert isinstance(refused, RequestError)
    assert refused.status == 406


@pytest.mark.parametrize("name", ["application/x-ndjson", "application/jsonl", "image/png"])
def test_media_types_keep_the_clients_own_name(load: Any, name: str) -> None:
    reply = answer(load(WITHOUT_CONTEXT), b"1", name, name)
    assert reply.body.count(name.encode()) == 2
    assert reply.content_type == name


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("", "text/csv"), ("*/*", "text/csv"), ("image/png", "image/png"), ("text/plain;q=0.1, image/png", "image/png")],
)
def test_output_fn_is_asked_for_the_favorite_media_type(load: Any, accept: str, expected: str) -> None:
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
def test_default_functions_refuse_other_bodies(load: Any, body: bytes, content_type: str, status: int) -> None:
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
def test_body_with_its_media_type_in_a_tuple(load: Any, returned: str, body: bytes, content_type: str) -> None:
    reply = answer(load(LOAD + f"def transform_fn(m, d, c, a): return {returned}"), b"1", "", "text/csv")
    assert (reply.body, reply.content_type) == (body, content_type)


@pytest.mark.parametrize(
    ("returned", "body"),
    [
        ("{'a': [1, None, True]}", b'{"a": [1, null, true]}'),
        ("[1, 'x']", b'[1, "x"]'),
        ("[]", b"[]"),
        ("None", b"null"),
        ("1", b"1"),
        ("1.5", b"1.5"),
        ("True", b"true"),
        ("[float('nan')]", b"[NaN]"),
        ("2 ** 70", b"1180591620717411303424"),
        ("numpy.float64(1.5)", b"1.5"),
        ("numpy.float32(1.5)", b"1.5"),
        ("numpy.int64(3)", b"3"),
        ("numpy.array([[1, 2]])", b"[[1, 2]]"),
        ("{'scores': numpy.array([1.5])}", b'{"scores": [1.5]}'),
        ("['body', 'text/html']", b'["body", "text/html"]'),
    ],
)
def test_other_values_are_sent_as_json(load: Any, returned: str, body: bytes) -> None:
    """As by multi-model-server, but for the indentation."""
    for code in (
        f"def transform_fn(m, d, c, a): return {returned}",
        f"def predict_fn(d, m): return 1\ndef output_fn(p, a): return {returned}",
    ):
        assert answer(load(f"import numpy\n{LOAD}{code}")) == Reply(body, "application/json")


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ("({'a': 1}, 'application/x-mine')", b'{"a": 1}', "application/x-mine"),
        ("('text', 'text/html', 'more')", b"text", "text/html"),
        ("('text', None)", b"text", "text/csv"),
        ("(None, 'a/b')", b"null", "a/b"),
        ("('text', 'Text/HTML; charset=UTF-8')", b"text", "Text/HTML; charset=UTF-8"),
    ],
)
def test_tuples_are_a_body_and_its_type(load: Any, returned: str, body: bytes, content_type: str) -> None:
    code = f"def transform_fn(m, d, c, a): return {returned}"
    assert answer(load(LOAD + code), b"1", "", "text/csv") == Reply(body, content_type)


RESPONSE = """
    from werkzeug.wrappers import Response
    def model_fn(model_dir): return 1
    def predict_fn(data, model): return data
    def output_fn(prediction, accept): return Response({arguments})
"""


def test_flask_response_is_the_reply(load: Any) -> None:
    reply = answer(load(RESPONSE.format(arguments="'x,y', mimetype='text/csv'")))
    assert reply == Reply(b"x,y", "text/csv; charset=utf-8")
    reply = answer(load(RESPONSE.format(arguments="b'x', 201, {'X-Mine': '1'}, content_type='a/b'")))
    assert reply == Reply(b"x", "a/b", 201, (("X-Mine", "1"),))
    assert answer(load(RESPONSE.format(arguments="status=204"))).body == b""


def test_streamed_flask_response_is_sent_in_parts(load: Any) -> None:
    reply = respond(load(RESPONSE.format(arguments="(word for word in ('a', 'b')), mimetype='text/x'")))
    assert reply.stream is not None
    assert (list(reply.stream), reply.content_type) == ([b"a", b"b"], "text/x; charset=utf-8")


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("object()", "transform_fn returned object, which cannot be sent"),
        ("{'a': object()}", "transform_fn returned dict, which cannot be sent (object is no JSON)"),
        ("('x',)", "transform_fn returned a tuple of 1"),
        ("('x', 5)", "transform_fn returned 5 as the media type"),
        ("('x', 'a\\nb')", "the answer's media type is 'a\\nb'"),
    ],
)
def test_value_that_cannot_be_sent_is_an_error_with_advice(load: Any, returned: str, words: str) -> None:
    error = outcome(load(LOAD + f"def transform_fn(m, d, c, a): return {returned}"))
    assert isinstance(error, TypeError | ValueError)
    assert not isinstance(error, RequestError)
    assert words in str(error)


@pytest.mark.parametrize("header", ["Content-Length", "Transfer-Encoding", "X-Accel-Redirect", "X Y", "X:"])
def test_header_injection_by_a_script_is_an_error(load: Any, header: str) -> None:
    for returned in ("'x'", "iter('xy')"):
        code = f"def transform_fn(m, d, c, a, context):\n context.set_response_header(0, {header!r}, '100')"
        error = outcome(load(f"{LOAD}{code}\n return {returned}"))
        assert isinstance(error, ValueError), error
        assert str(error).replace("'", "").startswith(f"the answers header {header} ")


RAISES = """
    class ServiceError(Exception):
        __module__ = {module!r}
        status_code = {status!r}
        message = "send less"
    def model_fn(model_dir): return 1
    def predict_fn(data, model): raise type("Derived", (ServiceError,), {{}})("in", "parts")
"""


@pytest.mark.parametrize(
    ("module", "status"),
    [("sagemaker_inference.errors", 400), ("sagemaker_inference.errors", 507), ("sagemaker_containers._errors", 404)],
)
def test_errors_of_the_toolkits_keep_status_and_message(load: Any, module: str, status: int) -> None:
    error = outcome(load(RAISES.format(module=module, status=status)))
    assert isinstance(error, ModelRefusalError), error
    assert (error.status, error.message) == (status, "send less")


def test_error_code_of_multi_model_servers_exception_is_kept(load: Any) -> None:
    code = RAISES.replace("status_code", "error_code").format(module="mms.service", status=424)
    error = outcome(load(code))
    assert isinstance(error, ModelRefusalError)
    assert (error.status, error.message) == (424, "send less")


def test_toolkit_error_without_a_valid_status_is_500(load: Any) -> None:
    assert outcome(load(RAISES.format(module="sagemaker_inference.errors", status=204))).status == 204


@pytest.mark.parametrize(
    ("module", "status"), [("openai", 401), ("fastapi.exceptions", 503), ("sagemaker_inference.errors", "400")]
)
def test_status_of_another_services_exception_is_not_passed_on(load: Any, module: str, status: object) -> None:
    error = outcome(load(RAISES.format(module=module, status=status)))
    assert not isinstance(error, RequestError)


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        ("InputError('send numbers')", 400, "send numbers"),
        ("NotFound('no such item')", 404, "no such item"),
    ],
)
def test_script_refuses_a_request(load: Any, raised: str, status: int, message: str) -> None:
    start = "from byo_container.container.handler import InputError\nfrom werkzeug.exceptions import NotFound\n"
    for code in (
        f"def predict_fn(data, model): raise {raised}",
        f"def predict_fn(data, model):\n raise {raised}\n yield 1",
    ):
        with pytest.raises(ModelRefusalError) as caught:
            respond(load(start + LOAD + code))
        assert (caught.value.status, caught.value.message) == (status, message)


@pytest.mark.parametrize("raised", ["ValueError('x')", "SystemExit(1)", "MemoryError()"])
def test_other_exceptions_are_returned(load: Any, raised: str) -> None:
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
def test_invalid_status_is_an_error(load: Any, status: object) -> None:
    code = f"def transform_fn(m, d, c, a, context): context.set_response_status({status}); return ''"
    assert isinstance(outcome(load(LOAD + code)), ValueError)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1", "defines none of model_fn"),
        ("def handle(data, context): return data", "handle is a handler of multi-model-server's and TorchServe's: "),
        ("class H:\n    def handle(self, d, c): pass\n    def initialize(self, c): pass", "H.handle is a handler of "),
        (
            "def input_handler(d, c): pass\ndef output_handler(d, c): pass",
            "input_handler and output_handler are ",
        ),
        ("def handler(d, c): return d", "write model_fn and predict_fn, or a handler class: docs/handlers.md"),
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
def test_invalid_script_is_refused_at_load(load: Any, tmp_path: Path, code: str, words: str) -> None:
    with pytest.raises(JobError) as caught:
        load(code)
    assert words in str(caught.value)
    assert str(tmp_path / "inference.py") in str(caught.value)


def test_context_kept_from_model_fn_shows_each_request(load: Any) -> None:
    """And is the same object, as in multi-model-server, so that what a script puts there stays."""
    code = """
        def model_fn(model_dir, context):
            context.mine = "kept"
            return context
        def predict_fn(data, model): return model.get_request_header(0, "X-One")
        def output_fn(prediction, accept, context): return f"{prediction} {context.mine}"
    """
    model = load(code)
    assert answer(model, X_One="1").body == b"1 kept"
    assert answer(model, X_One="2").body == b"2 kept"


def test_stream_part_is_computed_with_the_context_of_its_request(load: Any) -> None:
    code = """
        def model_fn(model_dir): return 1
        def transform_fn(model, data, content_type, accept, context):
            for _ in range(2):
                yield context.get_request_header(0, "X-One") or "none"
    """
    model = load(code)
    first, second = (respond(model, b"1", X_One=number) for number in "12")
    assert first.stream is not None
    assert second.stream is not None
    parts = [part for pair in zip(first.stream, second.stream, strict=True) for part in pair]
    assert parts == [b"1", b"2", b"1", b"2"]


@pytest.mark.parametrize(
    ("part", "accept", "content_type"),
    [
        ("'text'", "", "text/plain; charset=utf-8"),
        ("b'bytes'", "", "application/octet-stream"),
        ("bytearray(3)", "", "application/octet-stream"),
        ("1", "", "application/jsonlines"),
        ("'text'", "text/event-stream", "text/event-stream"),
    ],
)
def test_stream_media_type_is_that_of_the_first_part(load: Any, part: str, accept: str, content_type: str) -> None:
    for code in (f"def transform_fn(m, d, c, a): yield {part}", f"def output_fn(p, a): yield {part}"):
        reply = respond(load(f"{LOAD}{code}" + "\ndef predict_fn(d, m): pass" * ("output" in code)), b"1", "", accept)
        assert reply.content_type == content_type
    assert respond(load(LOAD + f"def transform_fn(m, d, c, a): return iter([{part}]), 'a/b'")).content_type == "a/b"


def test_error_status_of_a_script_is_logged(
    load: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    code = "def transform_fn(m, d, c, a, context): context.set_response_status(code=429, phrase='later'); return 'x'"
    assert answer(load(LOAD + code), b"1", X_Request_Id="42").status == 429
    assert [record.getMessage() for record in caplog.records] == ["request 42: 429, set by the script"]


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [
        ("data, model, t=.5, k=2", "[data, t, k]"),
        ("data, model, t=.5", "[data, t]"),
        ("*arguments", "[len(arguments)]"),
        ("data, model, *more", "[len(more)]"),
        ("data, model, **options", "[len(options)]"),
        ("data, *, model=None, t=3", None),
        ("data, model, *, t=3", "[t]"),
        ("data, model, t=.5, context=None", "[t, context.get_request_id()]"),
        ("data, model, *, context", "[context.get_request_id()]"),
        ("data, model, ctx=None", "[ctx.get_request_id()]"),
        ("data, model, anything", "[anything.get_request_id()]"),
        ("data, model=5", "[model]"),
    ],
)
def test_functions_get_the_context_by_their_signature(load: Any, signature: str, arguments: str | None) -> None:
    code = LOAD + f"def predict_fn({signature}): return {arguments}\ndef input_fn(d, c): return 7\n"
    code += "def output_fn(p, a): return p"
    if arguments is None:
        with pytest.raises(JobError, match="it must take 2, or 3 with context"):
            load(code)
        return
    expected: dict[str, Any] = {
        "data": 7,
        "model": 10,
        "t": 3 if "t=3" in signature else 0.5,
        "k": 2,
        "arguments": [0, 0],
    }
    expected |= dict.fromkeys(("context", "ctx", "anything"), type("Seen", (), {"get_request_id": lambda _: "42"})())
    expected |= {"more": [], "options": [], "len": len}
    assert json.loads(answer(load(code), X_Request_Id="42").body) == eval(arguments, expected)  # noqa: S307


def test_script_with_the_name_of_a_standard_module(tmp_path: Path) -> None:
    path = tmp_path / "queue.py"
    path.write_text(LOAD + "def predict_fn(data, model): return data\nclass Own: pass")
    ScriptModel(path, tmp_path, Settings()).load()
    assert hasattr(importlib.import_module("queue"), "SimpleQueue")


def test_failed_import_leaves_no_module(tmp_path: Path) -> None:
    path = tmp_path / "broken_script.py"
    path.write_text("import nothing_of_this_name")
    with pytest.raises(ModuleNotFoundError):
        ScriptModel(path, tmp_path, Settings()).load()
    assert "broken_script" not in sys.modules


@pytest.mark.parametrize("code", ["import asyncio\nLOOP = asyncio.get_event_loop()\n", ""])
def test_asyncio_event_loop_in_compute_threads(load: Any, code: str) -> None:
    """As in the toolkits, whose functions run in the main thread."""
    code += """
async def double(value):
    return value * 2
def predict_fn(data, model):
    import asyncio
    return asyncio.get_event_loop().run_until_complete(double(model))
def model_fn(model_dir):
    import asyncio
    return asyncio.get_event_loop().run_until_complete(double(5))
def output_fn(prediction, accept): return prediction
def input_fn(data, content_type): return data
"""
    found: list[Any] = []

    def run() -> None:
        model = load(code)
        found.extend(answer(model).body for _ in range(2))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [b"20", b"20"]


def test_signal_handler_outside_the_main_thread_is_explained(load: Any, tmp_path: Path) -> None:
    set_one = "import signal\ndef limit(): signal.signal(signal.SIGALRM, lambda *_: None)\n"
    seen: list[BaseException] = []

    def run() -> None:
        try:
            load(set_one + "def model_fn(model_dir): limit()")
        except JobError as error:
            seen.append(error)
        seen.append(outcome(load(set_one + LOAD + "def predict_fn(data, model): limit()")))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    at_load, at_request = seen
    for text in (str(at_load), *at_request.__notes__):
        assert text.startswith(f"{tmp_path / 'inference.py'}, line 2, in limit: signal only works in main thread")
        assert "MODEL_SERVER_TIMEOUT" in text


def test_unsupported_default_accept_needs_an_output_fn(load: Any) -> None:
    code = LOAD + "def predict_fn(data, model): return data\n"
    with pytest.raises(JobError, match=r"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is 'application/x-mine'.* output_fn"):
        load(code, default_accept="application/x-mine")
    assert answer(load(code + "def output_fn(p, a): return a", default_accept="application/x-mine")).body == (
        b"application/x-mine"
    )


def test_flask_request_where_a_script_reads_it(load: Any) -> None:
    code = """
        def model_fn(model_dir): return 1
        def input_fn(data, content_type):
            from flask import request
            return [request.get_data().decode(), request.content_type, request.headers["X-One"], request.path]
        def predict_fn(data, model): return data
        def output_fn(prediction, accept): return prediction
    """
    code = code.replace("            from flask", "            #\n            from flask")
    reply = answer(load(code), b"[1, 2]", "a/b", X_One="1")
    assert json.loads(reply.body) == ["[1, 2]", "a/b", "1", "/invocations"]


SKLEARN_SAMPLE = """
    import json
    from sagemaker_containers.beta.framework import (
        content_types, encoders, env, modules, transformer, worker)
    import sagemaker_containers.beta.framework.errors as errors
    def model_fn(model_dir): return 2
    def input_fn(data, content_type): return encoders.decode(data, content_type)
    def predict_fn(data, model): return data * model
    def output_fn(prediction, accept):
        if accept == "application/json":
            return worker.Response(json.dumps({"instances": prediction.tolist()}), mimetype=accept)
        if accept == "text/plain":
            return worker.Response("x", "ignored", 202)
        return worker.Response(encoders.encode(prediction, accept), mimetype=accept)
"""


@pytest.mark.skipif(importlib.util.find_spec("sagemaker_containers") is not None, reason="the real one is installed")
def test_a_script_for_sagemaker_containers(load: Any) -> None:
    """As in AWS's samples of inference pipelines."""
    model = load(SKLEARN_SAMPLE)
    assert answer(model, b"[1, 2]", "application/json") == Reply(b'{"instances": [2, 4]}', "application/json")
    csv_reply = answer(model, b"1,2\n3,4\n", "text/csv", "text/csv")
    assert csv_reply == Reply(b"2.0,4.0\n6.0,8.0\n", "text/csv; charset=utf-8")
    assert answer(model, b"1,2\n", "text/csv", "text/csv").body == b"2.0\n4.0\n"
    npy_body = answer(model, npy([1, 2]), "application/x-npy", "application/x-npy").body
    assert np.load(io.BytesIO(npy_body)).tolist() == [2, 4]
    assert answer(model, b"1", "application/json", "text/plain") == Reply(b"x", "application/json", 202)
    assert "the media type 'a/b' is not supported" in str(outcome(model, b"1", "a/b"))
    with pytest.raises(NotImplementedError, match=r"framework\.env\.ServingEnv is no part of byo-container's stand-in"):
        sys.modules["sagemaker_containers.beta.framework"].env.ServingEnv()


@pytest.mark.parametrize(
    ("imports", "settings", "kind"),
    [
        ("import sklearn", {}, "bytes"),
        ("import xgboost", {}, "bytes"),
        ("from sagemaker_containers.beta.framework import worker", {}, "bytes"),
        ("", {"defaults": "sklearn"}, "bytes"),
        ("import torch", {}, "bytearray"),
        ("import sklearn, transformers", {}, "bytearray"),
        ("", {}, "bytearray"),
    ],
)
@pytest.mark.parametrize("form", ["functions", "transform_fn", "input_fn"])
def test_body_is_bytes_or_bytearray_as_in_the_container(
    load: Any, imports: str, settings: Any, kind: str, form: str
) -> None:
    """Scripts ask for it: isinstance(request_body, bytes)."""
    code = f"""
def model_fn(model_dir): return print
def never_called():
    {imports or "pass"}
"""
    if form == "transform_fn":
        code += "def transform_fn(model, data, content_type, accept): return type(data).__name__\n"
    else:
        code += "def input_fn(data, content_type): return type(data).__name__\n"
        code += "def predict_fn(data, model): return data\n"
    if form == "functions":
        code += "def output_fn(prediction, accept): return prediction\n"
    reply = answer(load(code, **settings), b"1,2", "text/csv; charset=utf-8")
    assert reply.body.strip(b'"') == kind.encode()
    assert answer(load(code, **settings), b"1,2", "text/csv").body.strip(b'"') == b"str"
