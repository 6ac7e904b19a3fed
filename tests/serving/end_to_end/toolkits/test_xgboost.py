"""XGBoost itself, by the defaults of its container, which is not on PyPI.

Source: https://github.com/aws/sagemaker-xgboost-container/tree/master/src/sagemaker_xgboost_container; encoder.py: CSV
with any delimiter and NaN for empty cells, libsvm that counts from 0 or from 1, and recordio-protobuf become a DMatrix;
handler_service.py: model.predict(data, validate_features=False), written by sagemaker_containers' encoders.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.end_to_end.toolkits.both import ABSENT, Script, value

encoders = pytest.importorskip("sagemaker_containers._encoders", reason=ABSENT)
xgboost = pytest.importorskip("xgboost", reason=ABSENT)
JSON, CSV, NPY, LIBSVM = "application/json", "text/csv", "application/x-npy", "text/libsvm"
ROWS = np.array([[0.0, 1.5, 2.0], [3.0, np.nan, 1.0], [1.0, 2.0, 5.0]])
CODE = """
    import os
    import xgboost as xgb

    def model_fn(model_dir):
        booster = xgb.Booster()
        booster.load_model(os.path.join(model_dir, "xgboost-model.json"))
        return booster
"""


@pytest.fixture(scope="module")
def booster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    data = np.random.default_rng(0).normal(size=(200, 3)) * 3
    matrix = xgboost.DMatrix(data, label=data[:, 0] - data[:, 2], feature_names=["a", "b", "c"])
    booster = xgboost.train({"max_depth": 3}, matrix, 5)
    folder = tmp_path_factory.mktemp("model")
    booster.save_model(folder / "xgboost-model.json")
    return booster, folder


def recordio(rows: Any, **labels: Any) -> bytes:
    """By sagemaker_containers' own writer, its protobuf class made anew from its own description: the generated code
    is of 2019, and knows no maps by today's protobuf."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from sagemaker_containers import _recordio, record_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.Add(descriptor_pb2.FileDescriptorProto.FromString(record_pb2.DESCRIPTOR.serialized_pb))
    found = message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_recordio, "Record", found)
        body = encoders.array_to_recordio_protobuf(rows, **labels)
    assert isinstance(body, bytes)
    return body


def saved(write: Any, *arguments: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, *arguments)
    return stream.getvalue()


def bodies() -> dict[str, tuple[bytes, str]]:
    import pyarrow
    from pyarrow import parquet
    from scipy import sparse

    whole = np.nan_to_num(ROWS).astype("float32")
    table = pyarrow.table(dict(zip("abc", ROWS.T, strict=True)))
    return {
        "csv": (b"0,1.5,2\n3,,1\n1,2,5\n", CSV),
        "semicolons": (b"0;1.5;2\n3;;1\n1;2;5\n", "text/csv; charset=utf-8"),
        "tabs": (b"0\t1.5\t2\n3\t\t1\n1\t2\t5", "text/csv"),
        "json": (b"[[0, 1.5, 2], [3, null, 1], [1, 2, 5]]", JSON),
        "npy": (saved(np.save, ROWS), NPY),
        "libsvm from 0": (b"0:0 1:1.5 2:2\n0:3 2:1\n0:1 1:2 2:5\n", LIBSVM),
        "libsvm from 1": (b"1 1:0 2:1.5 3:2\n0 1:3 3:1 # no 2\n1 qid:7 1:1 2:2 3:5", "text/x-libsvm"),
        "parquet": (saved(lambda stream: parquet.write_table(table, stream)), "application/x-parquet"),
        "recordio": (recordio(whole), "application/x-recordio-protobuf"),
        "sparse recordio": (
            recordio(sparse.csr_matrix(whole.astype("float64"))),
            "application/x-recordio-protobuf",
        ),
        "npz": (saved(sparse.save_npz, sparse.csr_matrix(whole)), "application/x-npz"),
    }


def expected(kind: str, booster: Any) -> Any:
    from scipy import sparse

    rows: Any = ROWS
    if kind == "recordio":
        rows = np.nan_to_num(ROWS)
    if kind in ("sparse recordio", "npz"):
        rows = sparse.csr_matrix(np.nan_to_num(ROWS))  # a zero that is left out is missing
    return booster.predict(xgboost.DMatrix(rows), validate_features=False)


@pytest.mark.parametrize("kind", bodies())
def test_every_body_becomes_a_dmatrix(booster: tuple[Any, Path], kind: str) -> None:
    model, folder = booster
    body, content_type = bodies()[kind]
    status, answer = Script.write(folder, CODE).ours(body, content_type, JSON)
    assert status == 200, answer
    assert np.array(value(answer, JSON), "float32").tolist() == expected(kind, model).tolist()


@pytest.mark.parametrize("accept", [CSV, NPY])
def test_predictions_are_written_as_the_container_writes_them(booster: tuple[Any, Path], accept: str) -> None:
    model, folder = booster
    theirs = encoders.encode(expected("csv", model), accept)
    _, ours = Script.write(folder, CODE).ours(*bodies()["csv"], accept)
    assert ours == (theirs.encode() if isinstance(theirs, str) else theirs)


def test_one_column_and_one_row(booster: tuple[Any, Path]) -> None:
    model, folder = booster
    predicted = model.predict(xgboost.DMatrix(np.array([[1.0, 2.0, 5.0]])), validate_features=False)
    for body, content_type in [(b"1,2,5", CSV), (b"[1, 2, 5]", JSON), (saved(np.save, np.array([1.0, 2, 5])), NPY)]:
        _, answer = Script.write(folder, CODE).ours(body, content_type, CSV)
        assert answer.decode() == str(predicted[0]) + "\n"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"a,b,c", CSV),
        (b"1,2\n3", CSV),
        (b"0:a", LIBSVM),
        (b"-1:2", LIBSVM),
        (b"\n", LIBSVM),
        (b"x", "application/x-recordio-protobuf"),
        (b"x", "application/x-parquet"),
        (b"x", "application/x-npz"),
        (b'{"a": 1}', JSON),
    ],
)
def test_what_is_no_matrix_is_the_clients_fault(booster: tuple[Any, Path], body: bytes, content_type: str) -> None:
    status, message = Script.write(booster[1], CODE).ours(body, content_type, JSON)
    assert status == 400, message


def test_a_users_predict_fn_gets_a_dmatrix(booster: tuple[Any, Path]) -> None:
    code = CODE + "\n    def predict_fn(data, model): return [data.num_row(), data.num_col()]\n"
    assert Script.write(booster[1], code).ours(b"1,2,5\n", CSV, CSV) == (200, b"1\n3\n")


def test_xgboosts_classes_in_the_manner_of_scikit_learn_get_arrays(tmp_path: Path) -> None:
    code = """
        import xgboost
        def model_fn(model_dir): return xgboost.XGBRegressor(n_estimators=2).fit([[0], [1]], [1, 3])
    """
    status, answer = Script.write(tmp_path, code).ours(b"0\n1\n", CSV, JSON)
    assert (status, len(value(answer, JSON))) == (200, 2), answer


def test_the_real_recordio_of_the_sdk(booster: tuple[Any, Path]) -> None:
    """Integers and doubles too, with labels, which are left out."""
    model, folder = booster
    whole = np.nan_to_num(ROWS)
    for array in (whole.astype(int), whole):
        body = recordio(array, labels=np.array([1.0, 0.0, 1.0]))
        _, answer = Script.write(folder, CODE).ours(body, "application/x-recordio-protobuf", JSON)
        predicted = model.predict(xgboost.DMatrix(array.astype(float)), validate_features=False)
        assert np.array(value(answer, JSON), "float32").tolist() == predicted.tolist()


@pytest.mark.parametrize(
    ("call", "body", "content_type"),
    [
        ("csv_to_dmatrix(data.rstrip())", b"1,2,5\n", CSV),
        ("libsvm_to_dmatrix(data)", b"0:1 1:2 2:5", LIBSVM),
        ("decode(data, content_type)", b"1;2;5", "text/csv; charset=utf-8"),
    ],
)
def test_a_script_may_read_by_the_containers_encoder(
    booster: tuple[Any, Path], call: str, body: bytes, content_type: str
) -> None:
    """The package itself is not to be had, and its samples import it."""
    code = (
        "    import sagemaker_xgboost_container.encoder as xgb_encoders\n"
        + CODE
        + f"\n    def input_fn(data, content_type): return xgb_encoders.{call}\n"
    )
    predicted = booster[0].predict(xgboost.DMatrix(np.array([[1.0, 2.0, 5.0]])), validate_features=False)
    status, answer = Script.write(booster[1], code).ours(body, content_type, CSV)
    assert (status, answer.decode()) == (200, str(predicted[0]) + "\n")
