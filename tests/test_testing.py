"""byo_container.testing: handlers and inference scripts, trained and served in the process of a test."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from byo_container import Conversation, Handler, InputError, JobError, Range, RequestContext, TrainingJob
from byo_container.testing import Endpoint, Payload, endpoint_of_script, payloads, train


class Shout(Handler):
    """Shouts texts as loud as it was trained to, and says how many were predicted together."""

    @dataclass(frozen=True)
    class Hyperparameters:
        mark: str = "!"
        times: Annotated[int, Range(1, 9)] = 1

    batched = True
    batch_size = 3
    closed = 0

    def train(self, job: TrainingJob[Hyperparameters]) -> None:
        given = job.hyperparameters
        texts = [path.read_text() for path in job.channel("training").files("*.txt")]
        (job.model_dir / "ending").write_text(given.mark * given.times * len(texts))

    def load(self, model_dir: Path) -> str:
        return (model_dir / "ending").read_text()

    def predict(self, model: str, inputs: list[Any]) -> list[Any]:
        return [self._one(model, value, len(inputs)) for value in inputs]

    def _one(self, model: str, value: Any, together: int) -> Any:
        match value:
            case "words":
                return self._words()
            case "fail":
                raise ValueError("secret")
            case str():
                return [value.upper() + model, together]
        return InputError("send a text")

    def _words(self) -> Iterator[str]:
        try:
            yield "one "
            yield "two"
        finally:
            type(self).closed += 1

    def converse(self, model: str, message: str | bytes, conversation: Conversation) -> Any:
        if message == "refuse":
            raise InputError("say something else")
        seen = conversation.state["seen"] = conversation.state.get("seen", 0) + 1
        return [message, seen, conversation.header("x-name")] if message != "nothing" else None


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/ending").write_text("!")
    return tmp_path / "model"


@pytest.fixture
def endpoint(model_dir: Path) -> Iterator[Endpoint]:
    with Endpoint(Shout, model_dir) as endpoint:
        yield endpoint


def test_training_leaves_a_model_that_an_endpoint_serves(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/c.txt").touch()
    files: dict[str, str | bytes] = {"a.txt": "hello", "b.txt": b"hello"}
    model_dir = train(Shout, tmp_path / "ml", hyperparameters={"mark": "?", "times": 2}, channels={"training": files})
    assert json.loads((model_dir / "handler.json").read_text())["handler"].endswith(":Shout")
    with Endpoint(Shout, model_dir) as endpoint:
        assert endpoint.json("hi").value == ["HI????", 1]
    for _ in range(2):  # the second time in a root that has a channel of that name
        model_dir = train(Shout, tmp_path / "more", channels={"training": tmp_path / "texts"})
        assert (model_dir / "ending").read_text() == "!"


@pytest.mark.parametrize(
    ("hyperparameters", "words"),
    [({"time": 2}, "did you mean 'times'"), ({"times": 10}, "times = '10'"), ({"times": "a"}, "times = 'a'")],
)
def test_wrong_hyperparameters_are_refused_as_in_a_job(
    tmp_path: Path, hyperparameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(JobError, match=words):
        train(Shout, tmp_path, hyperparameters=hyperparameters, channels={"training": {"a.txt": ""}})
    with pytest.raises(JobError, match="needs a channel called 'training'"):
        train(Shout, tmp_path)


def test_each_media_type_in_and_out(endpoint: Endpoint) -> None:
    assert endpoint.json({"instances": ["a", "b"]}).value == {"predictions": [["A!", 2], ["B!", 2]]}
    assert endpoint.json_lines(["a", "b"]).value == [["A!", 2], ["B!", 2]]
    answer = endpoint.text("a\nb\n", accept="text/csv")
    assert (answer.status, answer.text, answer.value) == (200, "A!,2\nB!,2\n", [["A!", "2"], ["B!", "2"]])
    assert endpoint.text("a", accept="application/jsonlines").value == [["A!", 1]]
    with Endpoint(Double) as double:
        assert double.csv([[1, 2], [3, 4]]).value == [[2, 4], [6, 8]]
        assert double.npy([[1, 2]], accept="application/x-npy").value.tolist() == [[2, 4]]


class Double:
    """A plain class, without any model files."""

    batched = True

    def load(self, model_dir: Path) -> None:
        assert not list(model_dir.iterdir())

    def predict(self, model: None, inputs: list[Any]) -> Any:
        return 2 * np.asarray(inputs, dtype=int)


def test_errors_are_status_codes(endpoint: Endpoint, model_dir: Path) -> None:
    refused = endpoint.json(["a", 7])
    assert (refused.status, refused.error) == (400, "record 2: send a text")
    assert endpoint.json("a").error == ""
    failed = endpoint.json("fail")
    assert failed.status == 500
    assert "secret" not in failed.error
    assert failed.headers["x-request-id"]
    assert endpoint.raw(b"x", "image/png").status == 415
    assert endpoint.raw(b"{", "application/json").status == 400
    assert endpoint.json("a", accept="image/png").status == 406
    with Endpoint(Shout, model_dir, {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"}) as small:
        assert small.raw(b"x" * (1 << 20) + b"x", "text/plain").status == 413


def test_refusal_with_half_a_surrogate_pair_reaches_the_client(model_dir: Path) -> None:
    class Refusing(Shout):
        def predict(self, model: str, inputs: list[Any]) -> list[Any]:
            return [InputError("unknown word \ud800") for _ in inputs]

    with Endpoint(Refusing, model_dir) as endpoint:
        answer = endpoint.json("x")
        assert (answer.status, answer.error) == (400, "unknown word ?")


def test_requests_are_batched_by_the_handlers_rules_and_by_the_environment(model_dir: Path) -> None:
    class Patient(Shout):
        batch_delay_ms = 500

    requests = [payloads.json(name) for name in "abc"]
    with Endpoint(Patient, model_dir) as endpoint:
        assert [answer.value for answer in endpoint.send_together(requests)] == [["A!", 3], ["B!", 3], ["C!", 3]]
        assert [count for _, count in endpoint.json(["a"] * 5).value] == [3, 3, 3, 2, 2]  # batch_size
    with Endpoint(Patient, model_dir, {"MODEL_SERVER_BATCH_SIZE": "1"}) as endpoint:
        assert [answer.value[1] for answer in endpoint.send_together(requests)] == [1, 1, 1]


def test_a_request_that_fails_in_a_batch_fails_alone(endpoint: Endpoint) -> None:
    answers = endpoint.send_together([payloads.json(value) for value in ("a", "fail", "b")])
    assert [answer.status for answer in answers] == [200, 500, 200]


def test_a_stream_comes_in_parts_and_a_client_may_leave(endpoint: Endpoint) -> None:
    answer = endpoint.json("words")
    assert (answer.parts, answer.text, answer.content_type) == (
        [b"one ", b"two"],
        "one two",
        "text/plain; charset=utf-8",
    )
    assert endpoint.json("words", accept="text/event-stream").parts == [b"data: one \n\n", b"data: two\n\n"]
    closed = Shout.closed
    stream = endpoint.stream(payloads.json("words"))
    assert next(stream) == b"one "
    assert Shout.closed == closed
    stream.close()  # type: ignore[attr-defined]
    assert Shout.closed == closed + 1


class Notes(Handler):
    """Keeps a client's texts in its session."""

    def load(self, model_dir: Path) -> None:
        return None

    def predict_with_context(self, model: None, inputs: list[Any], contexts: list[RequestContext]) -> list[Any]:
        return [self._one(value, context) for value, context in zip(inputs, contexts, strict=True)]

    def _one(self, value: Any, context: RequestContext) -> Any:
        if not context.session:
            return context.header("x-name")
        path = context.session / "notes"
        path.write_text((path.read_text() if path.exists() else "") + str(value))
        context.reply_custom_attributes(f"{context.custom_attributes}!")
        return path.read_text()


def test_sessions_headers_and_custom_attributes() -> None:
    with Endpoint(Notes) as endpoint:
        opened = endpoint.json("a", session="NEW_SESSION")
        assert opened.session_id
        answer = endpoint.json("b", session=opened.session_id, custom_attributes="trace=7")
        assert (answer.value, answer.custom_attributes, answer.session_id) == ("ab", "trace=7!", "")
        assert endpoint.json("c", headers={"X-Name": "Ada"}).value == "Ada"
    with Endpoint(Notes) as another:
        assert another.json("d", session=opened.session_id).status == 400
        assert another.json("e", session="NEW_SESSION").value == "e"


def test_a_conversation(endpoint: Endpoint) -> None:
    conversation = endpoint.conversation({"X-Name": "Ada"})
    assert conversation.send("hi") == ['["hi",1,"Ada"]']
    assert conversation.send("nothing") == []
    (refused,) = conversation.send("refuse")
    assert json.loads(refused) == {"code": 400, "type": "BadRequest", "message": "say something else"}
    assert endpoint.conversation().send("hi") == ['["hi",1,""]']
    with Endpoint(Double) as plain:  # without `converse` a message is an input
        assert plain.conversation().send("[[1, 2]]") == ["[[2,4]]"]


def test_a_model_that_cannot_be_loaded_is_an_error_of_the_test(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="cannot be loaded: FileNotFoundError"), Endpoint(Shout, tmp_path):
        pass
    with pytest.raises(JobError, match="has no method load"), Endpoint(type("Half", (), {"predict": 1}), tmp_path):
        pass
    with pytest.raises(JobError, match="MODEL_SERVER_BATCH_SIZE is 'a'"):
        Endpoint(Shout, tmp_path, {"MODEL_SERVER_BATCH_SIZE": "a"})


def test_other_routes(endpoint: Endpoint) -> None:
    assert endpoint.ping() == 200
    assert endpoint.execution_parameters()["BatchStrategy"] == "MULTI_RECORD"


def test_the_environment_is_as_before_afterwards(model_dir: Path) -> None:
    before = dict(os.environ)
    with Endpoint(Shout, model_dir), Endpoint(Double):
        assert dict(os.environ) != before
    assert dict(os.environ) == before


def test_an_inference_script(tmp_path: Path) -> None:
    code = """
        import json
        from words import ENDING

        def model_fn(model_dir, context):
            return ENDING

        def input_fn(data, content_type):
            if content_type != "application/json":
                raise ValueError(content_type)
            return json.loads(data)

        def predict_fn(data, model):
            return (part for part in data) if isinstance(data, list) else data.upper() + model
    """
    (tmp_path / "inference.py").write_text(textwrap.dedent(code))
    (tmp_path / "words.py").write_text("ENDING = '?'")
    with endpoint_of_script(tmp_path / "inference.py") as endpoint:
        assert endpoint.json("hello", accept="application/json").value == "HELLO?"
        assert endpoint.json(["a", "b"]).parts == [b"a", b"b"]
        assert endpoint.text("hello").status == 500
        assert endpoint.conversation().send('"hello"') == ['"HELLO?"']


VALUES: list[tuple[str, str, Any, bytes, str]] = [
    ("JSONSerializer", "json", {"a": [1, 2.5], "b": "ö"}, b'{"a": [1, 2.5], "b": "\\u00f6"}', "application/json"),
    ("JSONSerializer", "json", np.ones((1, 2)), b"[[1.0, 1.0]]", "application/json"),
    ("JSONSerializer", "json", {"a": np.arange(2)}, b'{"a": [0, 1]}', "application/json"),
    ("JSONLinesSerializer", "json_lines", [{"a": 1}, "b"], b'{"a": 1}\n"b"', "application/jsonlines"),
    ("CSVSerializer", "csv", [[1, "a,b"], [2.5, "c"]], b'1,"a,b"\n2.5,c', "text/csv"),
    ("CSVSerializer", "csv", [1, 2], b"1,2", "text/csv"),
    ("CSVSerializer", "csv", "1,2\n3,4", b"1,2\n3,4", "text/csv"),
    ("CSVSerializer", "csv", ["1,2", "3,4"], b"1,2\n3,4", "text/csv"),
    ("CSVSerializer", "csv", ([1, 2], [3, 4]), b'"[1, 2]","[3, 4]"', "text/csv"),  # a tuple is one row
    ("CSVSerializer", "csv", np.ones((2, 2)), b"1.0,1.0\n1.0,1.0", "text/csv"),
    ("IdentitySerializer", "raw", b"\x00\xff", b"\x00\xff", "application/octet-stream"),
]


@pytest.mark.parametrize(("serializer", "function", "value", "body", "content_type"), VALUES)
def test_payloads(serializer: str, function: str, value: Any, body: bytes, content_type: str) -> None:
    assert getattr(payloads, function)(value) == Payload(body, content_type)


def test_a_text_and_an_array() -> None:
    assert payloads.text("grüße\n") == Payload("grüße\n".encode(), "text/plain")
    payload = payloads.npy([[1, 2]])
    assert payload.content_type == "application/x-npy"
    assert payload.body.startswith(b"\x93NUMPY")


PROGRAM = """
import base64, json, pickle, sys
import numpy
from sagemaker import serializers

for name, value in pickle.loads(base64.b64decode(sys.stdin.read())):
    serializer = getattr(serializers, name)()
    body = serializer.serialize(value)
    body = body if isinstance(body, bytes) else body.encode()
    print(json.dumps([base64.b64encode(body).decode(), serializer.CONTENT_TYPE]))
"""


@pytest.mark.sdk
@pytest.mark.slow
def test_payloads_are_those_of_the_sdk() -> None:
    python = Path(__file__).parents[1] / ".venv-sdk-v2/bin/python"
    if not python.exists():
        pytest.skip("SageMaker's SDK is not there; `tools/sdk.sh v2` installs it")
    import pickle

    cases = [(serializer, value) for serializer, _, value, _, _ in VALUES]
    cases += [("NumpySerializer", [[1, 2]]), ("NumpySerializer", np.ones(3, np.float32))]
    given = base64.b64encode(pickle.dumps(cases)).decode()
    done = subprocess.run([python, "-c", PROGRAM], input=given, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]  # the SDK writes of its settings there
    found = [(base64.b64decode(body), kind) for body, kind in map(json.loads, lines)]
    ours = [getattr(payloads, function)(value) for _, function, value, _, _ in VALUES]
    ours += [payloads.npy(value) for _, value in cases[len(VALUES) :]]
    assert found == [(payload.body, payload.content_type) for payload in ours]


def test_importing_the_helper_starts_nothing() -> None:
    code = "import byo_container.testing, threading; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_a_handler_with_imports_of_an_older_release_is_tested_too(tmp_path: Path) -> None:
    handler = """
    from container.handler import InputError

    class Old:
        def load(self, model_dir):
            return None

        def predict(self, model, inputs):
            return [InputError("send a text") for text in inputs]
    """
    (tmp_path / "old.py").write_text(textwrap.dedent(handler))
    code = """
    from byo_container.testing import Endpoint
    from old import Old

    with Endpoint(Old, ".") as endpoint:
        print(endpoint.json(7).error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "send a text\n", done.stderr
    assert "container.handler is an old name and will go away" in done.stderr
