"""scikit-learn itself, by the defaults of its container. The container is not on PyPI; sagemaker-containers, by
which it reads and writes, is.

Source: https://github.com/aws/sagemaker-scikit-learn-container/blob/master/src/sagemaker_sklearn_container/serving.py:
default_input_fn is encoders.decode, as float32 from JSON and CSV; default_predict_fn is model.predict;
default_output_fn is encoders.encode. In handler_service.py an array of one dimension is made a row besides.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byo_container.serving.models.script.defaults import sklearn as defaults
from tests.serving.end_to_end.toolkits.both import ABSENT, Script

encoders = pytest.importorskip("sagemaker_containers._encoders", reason=ABSENT)
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
TREE = """
    import os
    from sklearn.tree import DecisionTreeRegressor

    def model_fn(model_dir):
        return DecisionTreeRegressor().fit([[0, 0], [1, 1]], [0.1, 2])
"""


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[[0, 0], [1, 1]]", JSON),
        (b'[["0", "0"], ["1", "1"]]', JSON),
        (b"0,0\n1,1\n", CSV),
        (b'"0","0"\n"1","1"\n', CSV),
        (npy([[0, 0], [1, 1]]), NPY),
    ],
)
@pytest.mark.parametrize("accept", [JSON, CSV, NPY])
def test_model_fn_alone_is_enough(tmp_path: Path, body: bytes, content_type: str, accept: str) -> None:
    expected = encoders.encode(np.array([0.1, 2]), accept)
    if accept == JSON:
        expected = expected.replace(" ", "")
    expected = expected.encode() if isinstance(expected, str) else expected
    assert Script.write(tmp_path, TREE).ours(body, content_type, accept) == (200, expected)


@pytest.mark.parametrize("body", [b"[1, 1]", b"[[1, 1]]"])
def test_one_row_is_a_row(tmp_path: Path, body: bytes) -> None:
    assert Script.write(tmp_path, TREE).ours(body, JSON, JSON) == (200, b"[2.0]")
    assert Script.write(tmp_path, TREE).ours(b"1,1", CSV, JSON) == (200, b"[2.0]")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("[[1, 2.5]]", JSON),
        ('[["1", "2.5"], ["3", "4"]]', JSON),
        ("1,2.5\n3,4\n", CSV),
        ('"1","2.5"\n3,4\n', CSV),
        (npy([[1, 2.5]]), NPY),
    ],
)
def test_arrays_are_those_of_the_container(body: Any, content_type: str) -> None:
    theirs = encoders.decode(body, content_type)
    theirs = theirs if content_type == NPY else theirs.astype(np.float32)
    ours = defaults.input_fn(body, content_type, None)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_labels_that_are_texts(tmp_path: Path) -> None:
    code = """
        from sklearn.neighbors import KNeighborsClassifier
        def model_fn(model_dir):
            return {"model": KNeighborsClassifier(1).fit([[0], [1]], ["no, never", "yes"])}
        def predict_fn(data, model): return model["model"].predict(data)
    """
    script = Script.write(tmp_path, code)
    assert script.ours(b"[[0], [1]]", JSON, JSON) == (200, b'["no, never","yes"]')
    assert script.ours(b"0\n1\n", CSV, CSV) == (200, b'"no, never"\nyes\n')


def test_a_pipeline_reads_a_sparse_matrix(tmp_path: Path) -> None:
    from scipy import sparse

    stream = io.BytesIO()
    sparse.save_npz(stream, sparse.csr_matrix([[1.0, 1.0]]))
    assert Script.write(tmp_path, TREE).ours(stream.getvalue(), "application/x-npz", JSON) == (200, b"[2.0]")


def test_a_body_that_the_model_has_no_use_for_is_not_ours_to_judge(tmp_path: Path) -> None:
    status, message = Script.write(tmp_path, TREE).ours(b"[[1, 2, 3]]", JSON, JSON)
    assert (status, b"3 features" in message) == (500, True)
