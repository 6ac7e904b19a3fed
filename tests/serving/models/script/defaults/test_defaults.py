"""What holds for the functions that an inference.py leaves out, as far as NumPy, PyTorch and Pillow go; what other
frameworks are needed for is in tests/serving/end_to_end/toolkits/."""

from __future__ import annotations

import collections
import io
import json
import logging
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.serving.codecs import decoded_size
from byo_container.serving.codecs.media_types import MediaType
from byo_container.serving.errors import RequestError
from byo_container.serving.models.script.defaults import family as defaults
from byo_container.serving.models.script.defaults import formats, recordio
from byo_container.serving.models.script.defaults.choose import Evidence, Model, choose, imports_of
from byo_container.serving.models.script.defaults.loading import left_out, log_line
from byo_container.serving.models.script.model import ScriptModel
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.settings import FAMILIES, Settings

TREE = Model(("sklearn.tree._classes.DecisionTreeClassifier", "sklearn.base.BaseEstimator"), predicts=True)
BOOSTER = Model(("xgboost.core.Booster", "builtins.object"), predicts=True)
WRAPPED = Model(("xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBModel"), predicts=True)
NETWORK = Model(("inference.Net", "torch.nn.modules.module.Module"), callable=True)
BERT = Model(("transformers.modeling_utils.PreTrainedModel", "torch.nn.modules.module.Module"), callable=True)
OTHER = Model(("catboost.core.CatBoost",), "CatBoost", predicts=True)
KERAS = Model(("keras.src.models.model.Model",), callable=True, predicts=True)
FUNCTION = Model(("builtins.function",), callable=True)


@pytest.mark.parametrize(
    ("evidence", "family", "because"),
    [
        (Evidence("xgboost", model=TREE), "xgboost", "MODEL_SERVER_DEFAULTS says so"),
        (Evidence(model=TREE), "sklearn", "returned a sklearn.tree"),
        (Evidence(model=BOOSTER, imports=frozenset({"sklearn"})), "xgboost", "returned a xgboost.core.Booster"),
        (Evidence(model=WRAPPED, imports=frozenset({"xgboost"})), "sklearn", "XGBClassifier"),
        (Evidence(model=NETWORK, imports=frozenset({"sklearn", "torch"})), "pytorch", "torch.nn"),
        (Evidence(model=BERT), "huggingface", "transformers"),
        (Evidence(model=FUNCTION, imports=frozenset({"torch", "transformers"})), "huggingface", "imports transformers"),
        (Evidence(model=FUNCTION, imports=frozenset({"torch", "sklearn"})), "pytorch", "imports torch"),
        (Evidence(imports=frozenset({"xgboost", "sklearn"})), "xgboost", "imports xgboost"),
        (Evidence(imports=frozenset({"sagemaker_sklearn_container"})), "sklearn", "imports sagemaker_sklearn"),
        (Evidence(files=frozenset({"model.pt", "a.pth"})), "pytorch", "the model folder has model.pt"),
        (Evidence(files=frozenset({"config.json", "model.safetensors"})), "huggingface", "config.json and weights"),
        (Evidence(files=frozenset({"config.json"}), model=FUNCTION), "generic", "nothing points"),
        (Evidence(environ={"HF_TASK": "fill-mask"}), "huggingface", "HF_TASK is fill-mask"),
        (Evidence(saved_model="1/saved_model.pb"), "tensorflow", "the model folder has 1/saved_model.pb"),
        (Evidence(saved_model="1/saved_model.pb", model=FUNCTION), "generic", "nothing points"),
        (Evidence(model=OTHER), "sklearn", "a CatBoost, which has predict and cannot be called"),
        (Evidence(model=KERAS, imports=frozenset({"tensorflow"})), "generic", "nothing points"),
        (Evidence(), "generic", "nothing points to another framework"),
    ],
)
def test_family_is_chosen_by_evidence(evidence: Evidence, family: str, because: str) -> None:
    found, why = choose(evidence)
    assert found == family
    assert because in why


def test_collection_of_models_is_recognised_by_its_members() -> None:
    member = type("Member", (), {"__module__": "sklearn.svm", "predict": lambda self, data: data})()
    for model in ([member, 1], (1, member), {"a": member}):
        assert choose(Evidence(model=Model.of(model)))[0] == "sklearn"


def test_imports_are_found_in_functions_and_sibling_modules(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("import numpy.linalg as la\nimport mine\ndef f():\n  from torch import nn\n")
    (tmp_path / "mine.py").write_text("from .near import there\nfrom . import no\nimport inference, json")
    (tmp_path / "near.py").write_text("from xgboost.core import Booster")
    assert imports_of(tmp_path / "inference.py") == {
        *("numpy", "mine", "torch", "near", "no", "xgboost", "inference", "json")
    }


@pytest.mark.parametrize(
    ("functions", "missing"),
    [
        (("model_fn", "transform_fn"), []),
        (("transform_fn",), ["model_fn"]),
        (("model_fn", "predict_fn"), ["input_fn", "output_fn"]),
        (("input_fn", "predict_fn", "output_fn"), ["model_fn"]),
    ],
)
def test_missing_functions_of_a_script(functions: tuple[str, ...], missing: list[str]) -> None:
    assert left_out(functions) == missing


def test_log_line_names_the_family() -> None:
    script = Path("/opt/ml/model/code/inference.py")
    one = log_line(script, ["predict_fn"], "scikit-learn", "it imports sklearn")
    assert one == "inference.py leaves out predict_fn: scikit-learn's default is used, because it imports sklearn"
    several = log_line(script, ["input_fn", "predict_fn", "output_fn"], "XGBoost", "it imports xgboost")
    assert "leaves out input_fn, predict_fn and output_fn: XGBoost's defaults are used" in several
    none = log_line(None, ["model_fn"], "PyTorch", "x")
    assert none.startswith("there is no inference.py: PyTorch's default is used")


def outcome(model: ScriptModel, body: bytes, content_type: str = "application/json", accept: str = "") -> Any:
    request = Request(body, content_type, accept, lambda name: "", variables={})
    (outcome,) = model.compute([request])
    return outcome[0] if isinstance(outcome, tuple) else outcome


def answer(model: ScriptModel, *arguments: Any) -> bytes:
    reply = outcome(model, *arguments)
    assert isinstance(reply, Reply), reply
    return reply.body


def test_defaults_are_logged_once_at_load(
    load: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.INFO)
    load("def model_fn(model_dir): return abs")
    assert [record.message for record in caplog.records] == [
        "inference.py leaves out input_fn, predict_fn and output_fn: SageMaker's inference toolkit's defaults are "
        "used, because nothing points to another framework"
    ]
    caplog.clear()
    load("def model_fn(model_dir): return 1\ndef transform_fn(model, data, content_type, accept): return ''")
    assert not caplog.records


PREDICTOR = """
    class Model:
        def predict(self, data, **options): return [[*data.shape, str(data.dtype), *sorted(options)]]
    def model_fn(model_dir): return Model()
"""


def test_default_predict_fn_calls_predict(load: Any) -> None:
    assert json.loads(answer(load(PREDICTOR), b"[1, 2, 3]")) == [[1, 3, "float32"]]


def test_model_server_defaults_takes_precedence(load: Any) -> None:
    with pytest.raises(JobError, match=r"must define predict_fn.*toolkit's default, used because"):
        load(PREDICTOR, defaults="generic")
    assert json.loads(answer(load(PREDICTOR, defaults="sklearn"), b"[1]")) == [[1, 1, "float32"]]


@pytest.mark.parametrize("family", ["generic", "sklearn", "xgboost"])
def test_family_without_model_fn_needs_the_scripts(load: Any, family: str) -> None:
    with pytest.raises(JobError, match=r"inference\.py must define model_fn\(model_dir\).*has no default for it"):
        load("def predict_fn(data, model): return 1", defaults=family)


def test_settings_name_the_family() -> None:
    for name in ("MODEL_SERVER_DEFAULTS", "SAGEMAKER_MODEL_SERVER_DEFAULTS"):
        assert Settings.from_environment({name: "PyTorch"}).defaults == "pytorch"
    with pytest.raises(JobError, match="MODEL_SERVER_DEFAULTS is 'mxnet'; it must be one of auto, generic, sklearn"):
        Settings.from_environment({"MODEL_SERVER_DEFAULTS": "mxnet"})


@pytest.mark.parametrize(
    "view",
    [
        '{"MaxConcurrentTransforms": 3}',
        """json.dumps({"MaxConcurrentTransforms": 3})""",
        'flask.jsonify({"MaxConcurrentTransforms": 3})',
        """flask.Response('{"MaxConcurrentTransforms": 3}', mimetype="application/json")""",
    ],
)
def test_execution_parameters_fn_is_a_flask_view(load: Any, view: str) -> None:
    code = f"import flask, json\ndef model_fn(d): return abs\ndef execution_parameters_fn(): return {view}"
    assert load(code).execution_parameters == {"MaxConcurrentTransforms": 3}


def test_invalid_execution_parameters_fn_is_refused_at_load(load: Any) -> None:
    with pytest.raises(JobError, match="must be a dict"):
        load("def model_fn(d): return abs\ndef execution_parameters_fn(): return 'four'")


def read(family: str, body: Any, content_type: str) -> Any:
    return defaults.load(family).input_fn(body, content_type, None)


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values))
    return stream.getvalue()


LONG = 123456789012345678901234567890


@pytest.mark.parametrize(
    ("body", "content_type", "expected", "dtype"),
    [
        ("1,2\n3,4\n\n", "text/csv", [[1, 2], [3, 4]], "int64"),
        ("1,2\n3,4.5\n", "Text/CSV; charset=utf-8", [[1, 2], [3, 4.5]], "float64"),
        ("7\n8\n", "text/csv", [7, 8], "int64"),
        ("a,b\n1,2", "text/csv", [["a", "b"], ["1", "2"]], "<U1"),
        ("1;2", "text/csv", "1;2", "<U3"),
        ("[1, 2]", "application/json;charset=UTF-8", [1, 2], "int64"),
        (b"[1.5]", "application/json", [1.5], "float64"),
        (f"[{LONG}, 1]", "application/json", [LONG, 1], "object"),
        (f'[{LONG}, "a"]', "application/json", [LONG, "a"], "object"),
        ("[18446744073709551615]", "application/json", [2**64 - 1], "uint64"),
        (b"\xef\xbb\xbf[1]", "application/json", [1], "int64"),
        (npy([[1.5]]), "application/x-npy", [[1.5]], "float64"),
    ],
)
def test_generic_input_arrays(body: Any, content_type: str, expected: Any, dtype: str) -> None:
    array = read("generic", body, content_type)
    assert array.tolist() == expected
    assert array.dtype == dtype


def test_empty_cell_is_nan() -> None:
    np.testing.assert_array_equal(read("generic", "1,,3\n4,5,6", "text/csv"), [[1, np.nan, 3], [4, 5, 6]])
    np.testing.assert_array_equal(read("sklearn", "1,,3", "text/csv"), [[1, np.nan, 3]])


@pytest.mark.parametrize(
    ("body", "content_type", "expected", "dtype"),
    [
        ("[1, 2]", "application/json", [[1, 2]], "float32"),
        ('[["1", "2.5"]]', "application/json", [[1, 2.5]], "float32"),
        ("1,2\n", "text/csv", [[1, 2]], "float32"),
        ('"1","2"\n3,4\n', "text/csv", [[1, 2], [3, 4]], "float32"),
        ("1\n2\n", "text/csv", [[1], [2]], "float32"),
        (npy([1.5, 2]), "application/x-npy", [[1.5, 2]], "float64"),
    ],
)
def test_sklearn_input_arrays(body: Any, content_type: str, expected: Any, dtype: str) -> None:
    array = read("sklearn", body, content_type)
    assert array.tolist() == expected
    assert array.dtype == dtype


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"inputs": "Hi", "parameters": {"top_k": 2}}', "application/json", None),
        ("[1, 2]", "application/json", [1, 2]),
        ('inputs,b\nfirst,1\n"sec,ond",2\n', "text/csv", {"inputs": ["first", "sec,ond"]}),
        ("question,context\nq,c\n", "text/csv", {"inputs": [{"question": "q", "context": "c"}]}),
        (b"RIFF", "audio/x-wav", {"inputs": b"RIFF"}),
        (bytearray(b"\x00"), "application/octet-stream", {"inputs": b"\x00"}),
        ("a text", "text/plain", {"inputs": "a text"}),
        (f'{{"id": {LONG}}}', "application/json", {"id": LONG}),
    ],
)
def test_huggingface_inputs(body: Any, content_type: str, expected: Any) -> None:
    assert read("huggingface", body, content_type) == (json.loads(body) if expected is None else expected)


def png(size: tuple[int, int] = (2, 1)) -> bytes:
    pillow = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    pillow.new("L", size, 7).save(stream, format="PNG")
    return stream.getvalue()


def test_huggingface_images_are_rgb() -> None:
    for name in ("image/png", "image/x-anything", "application/x-image"):
        image = read("huggingface", png(), name)["inputs"]
        assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (2, 1), (7, 7, 7))


REFUSED = [
    *((family, b"x", "image/webp", 415) for family in ("generic", "sklearn", "pytorch", "xgboost")),
    *((family, b"", "application/json", 400) for family in FAMILIES),
    *((family, "{", "application/json", 400) for family in FAMILIES),
    ("generic", "1,2\n3", "text/csv", 400),
    ("generic", " \n", "text/csv", 400),
    ("generic", "[[1], [1, 2]]", "application/json", 400),
    ("generic", npy([{"a": 1}]), "application/x-npy", 400),
    ("sklearn", "a,b", "text/csv", 400),
    ("sklearn", '{"a": 1}', "application/json", 400),
    ("sklearn", "1,2\n3", "text/csv", 400),
    ("sklearn", '"1,2', "text/csv", 400),
    ("huggingface", "1,2\n3,4", "text/csv", 400),
    ("huggingface", b"no image", "image/png", 400),
    ("pytorch", '["a"]', "application/json", 400),
    ("pytorch", b"no archive", "tensor/pt", 400),
]


@pytest.mark.parametrize(("family", "body", "content_type", "status"), REFUSED)
def test_unreadable_bodies_are_client_errors(family: str, body: Any, content_type: str, status: int) -> None:
    if family == "pytorch":
        pytest.importorskip("torch")
    with pytest.raises(RequestError) as caught:
        read(family, body, content_type)
    assert caught.value.status == status, caught.value


def test_archive_that_unpacks_too_large_is_413(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", bytes(2000))
    monkeypatch.setattr(formats, "MOST_BYTES", 1000)
    for family, body, content_type in [
        ("pytorch", stream.getvalue(), "tensor/pt"),
        ("huggingface", png((30, 30)), "image/png"),
    ]:
        with pytest.raises(RequestError, match="unpacks to") as caught:
            read(family, body, content_type)
        assert caught.value.status == 413


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("family", "content_type", "value"),
    [
        ("generic", "text/csv", "1,"),
        ("sklearn", "text/csv", "1,"),
        ("xgboost", "text/csv", "1;"),
        ("xgboost", "text/libsvm", "1:1 "),
        ("generic", "application/json", "[],"),
    ],
)
def test_body_with_too_many_values_is_413_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, family: str, content_type: str, value: str
) -> None:
    for limit in ("CONTAINERS", "LINES", "VALUES", "VALUES_A_LINE"):
        monkeypatch.setattr(decoded_size, limit, 100)
    monkeypatch.setattr(decoded_size, "BYTES_A_CONTAINER", 1000)
    monkeypatch.setattr(decoded_size, "BYTES_A_VALUE", 1000)
    with pytest.raises(RequestError, match="send at most 100 at once") as caught:
        read(family, 200 * value, content_type)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("prediction", "accept", "expected"),
    [
        (np.array([1, 2]), "application/json", "[1,2]"),
        (np.array([0.1], "float32"), "application/json", "[0.1]"),
        (np.array([[0.1, 1e-7]], "float32"), "text/csv", "0.1,1e-7\n"),
        (np.array([0.1, 2]), "text/csv", "0.1\n2.0\n"),
        (np.array([("x", 1)], dtype="U1,i8"), "application/json", '[["x",1]]'),
        ((1, 2), "text/csv", "1\n2\n"),
        (Pair(1, 2), "text/csv", "1\n2\n"),
        (Pair(1, 2), "application/json", "[1,2]"),
        ({"a": Pair(1, {2})}, "application/json", '{"a":[1,[2]]}'),
        ([LONG, -(2**63) - 1], "application/json", f"[{LONG},{-(2**63) - 1}]"),
        ([LONG], "text/csv", f"{LONG}\n"),
        (np.array([LONG]), "application/json", f"[{LONG}]"),
        ("\ud800", "application/json", '"\\ud800"'),
        (1.5, "text/csv", "1.5\n"),
        ([[1, 2], [3, 4]], "Text/CSV; charset=utf-8", "1,2\n3,4\n"),
    ],
)
def test_answers(prediction: Any, accept: str, expected: str) -> None:
    for family in FAMILIES:
        body, name = defaults.load(family).output_fn(prediction, accept, None)
        assert body.decode() == expected
        assert name == accept.partition(";")[0].lower()


def test_huggingface_answers() -> None:
    output_fn = defaults.load("huggingface").output_fn
    labels = [{"label": "A, b", "score": np.float32(0.5)}, {"label": "C", "score": 0.25}]
    assert output_fn(labels, "text/csv", None) == ('label,score\r\n"A, b",0.5\r\nC,0.25\r\n', "text/csv")
    assert (
        output_fn(labels, "application/json", None)[0] == b'[{"label":"A, b","score":0.5},{"label":"C","score":0.25}]'
    )
    image = read("huggingface", png(), "image/png")["inputs"]
    body, name = output_fn([image], "image/*;q=0.5", None)
    assert (body[:4], name) == (b"\x89PNG", "image/png")
    assert output_fn([image], "application/json", None)[0].startswith(b'["iVBORw0KGgo')
    with pytest.raises(RequestError, match="the prediction is no image"):
        output_fn([1], "image/png", None)


@pytest.mark.parametrize(
    ("lines", "inputs"),
    [
        (b'{"inputs": "a"}\n{"inputs": "b"}\n', ["a", "b"]),
        (b'"a"\n{"text": "b"}\n', ["a", {"text": "b"}]),
        (b'{"inputs": "a"}\n"b"\n', [{"inputs": "a"}, "b"]),
    ],
)
def test_huggingface_json_lines(lines: bytes, inputs: list[Any]) -> None:
    assert read("huggingface", lines, "application/jsonlines") == {"inputs": inputs}


def test_huggingface_pipeline_gets_inputs_and_parameters(load: Any) -> None:
    code = """
        import transformers
        def model_fn(model_dir): return lambda inputs, **parameters: [inputs, parameters]
    """.replace("import transformers", "def unused(): import transformers")
    model = load(code)
    assert answer(model, b'{"inputs": "Hi", "parameters": {"top_k": 2}}') == b'["Hi",{"top_k":2}]'
    assert answer(model, b'{"text": "Hi"}') == b'[{"text":"Hi"},{}]'
    assert answer(model, b'["Hi"]') == b'[["Hi"],{}]'
    assert outcome(model, b'{"inputs": 1, "parameters": 2}').status == 400


def record(kind: int, values: bytes, keys: bytes = b"", shape: bytes = b"") -> bytes:
    """A record of protobuf in RecordIO, by hand: features {"values": tensor}."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content if content else b""

    tensor = field(1, values) + field(2, keys) + field(3, shape)
    body = field(1, field(1, b"values") + field(2, bytes([kind << 3 | 2, len(tensor)]) + tensor))
    return struct.pack("<II", 0xCED7230A, len(body)) + body + bytes(-len(body) % 4)


def test_recordio_of_dense_rows() -> None:
    media = MediaType(formats.RECORDIO)
    floats = record(recordio.FLOAT32, struct.pack("<2f", 1.5, 2)) + record(recordio.FLOAT32, struct.pack("<2f", 3, 4))
    assert recordio.matrix(floats, media).tolist() == [[1.5, 2], [3, 4]]
    assert recordio.matrix(record(recordio.FLOAT64, struct.pack("<d", 0.1)), media).tolist() == [[0.1]]
    negative = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # -1 as a varint
    assert recordio.matrix(record(recordio.INT32, b"\x2a\x80\x01" + negative), media).tolist() == [[42, 128, -1]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x" * 12,
        record(2, struct.pack("<f", 1))[:-1],
        record(9, b"1234"),
        record(2, b"123"),
        record(7, b"\x80" * 11),
        record(2, struct.pack("<f", 1), keys=b"\x01\x02", shape=b"\x09"),
    ],
)
def test_invalid_recordio_is_400(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        formats.read({formats.RECORDIO: recordio.matrix}, body, formats.RECORDIO)
    assert caught.value.status == 400


WIDE_CSV = ",".join(f"c{number}" for number in range(3000)).encode() + b"\n" + b"1\n" * 8000
ONE_LONG = b"[" + b'"x",' * 10_000 + b'"' + b"y" * 20_000 + b'"]'


@pytest.mark.parametrize(
    ("family", "content_type", "body"),
    [
        ("huggingface", "text/csv", WIDE_CSV),  # each row has all names
        ("huggingface", "text/csv", b"1," * 100_000 + b"1\n" + b"2\n" * 40_000),
        ("generic", "application/json", ONE_LONG),  # each text gets the room of the longest
        ("sklearn", "application/json", b'["' + b"1" * 50_000_000 + b'","1"]'),
        ("pytorch", "application/json", ONE_LONG),
        ("sklearn", "application/jsonlines", b'"x"\n' * 10_000 + b'"' + b"y" * 20_000 + b'"'),
        ("generic", "text/csv", b"x," * 10_000 + b"y" * 20_000),
    ],
)
def test_body_that_would_fill_the_memory_is_413(family: str, content_type: str, body: bytes) -> None:
    if family == "pytorch":
        pytest.importorskip("torch")
    with pytest.raises(RequestError) as caught:
        defaults.load(family).input_fn(body, content_type, None)
    assert caught.value.status == 413


def test_long_texts_are_read_below_the_limit() -> None:
    texts = ["x" * 10_000, *["y"] * 500]
    assert formats.json_array(json.dumps(texts).encode(), MediaType("application/json")).tolist() == texts
