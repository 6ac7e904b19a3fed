"""Against the inference toolkit itself: the same scripts, the same answers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.end_to_end.toolkits.both import ABSENT, Script, value

pytest.importorskip("sagemaker_inference.transformer", reason=ABSENT)

ECHO = """
    def model_fn(model_dir): return 1
    def predict_fn(data, model): return data
"""
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values))
    return stream.getvalue()


@pytest.mark.parametrize("accept", [JSON, CSV, NPY])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[1, 2]", JSON),
        (b"[[1, 2.5], [3, 4]]", JSON),
        (b"[1.1, 123456789012345678]", JSON),
        (b'["a", "b"]', JSON),
        (b"[true, false]", JSON),
        (b"1,2\n3,4\n", CSV),
        (b"1.5,2.5\n", CSV),
        (b"1\n2\n\n", CSV),
        (b"a,b\nc,d\n", CSV),
        (b"1.5,\n,2.5\n", CSV),
        (npy([[1, 2]]), NPY),
        (npy([0.1]), NPY),
        (npy(["a"]), NPY),
    ],
)
def test_arrays_come_back_as_they_do_from_the_toolkit(
    tmp_path: Path, body: bytes, content_type: str, accept: str
) -> None:
    if accept == JSON and b",\n," in body:
        pytest.skip("the toolkit writes NaN, which is no JSON; ours is null")
    script = Script.write(tmp_path, ECHO)
    theirs, ours = script.theirs(None, body, content_type, accept), script.ours(body, content_type, accept)
    assert (theirs[0], value(theirs[1], accept)) == (ours[0], value(ours[1], accept))


@pytest.mark.parametrize(
    ("prediction", "accept"),
    [
        ("[0.1, None, 'x']", JSON),
        ("{'a': np.float64(1), 'b': [np.arange(2)]}", JSON),
        ("collections.namedtuple('P', 'a b')(1, 2)", JSON),
        ("collections.namedtuple('P', 'a b')(1, 2)", CSV),
        ("2**70", JSON),
        ("[2**70, 1]", CSV),
        ("'\\ud800'", JSON),
        ("(1, 2)", CSV),
        ("[(1, 'a'), (2, 'b')]", CSV),
        ("np.array([[0.1, 2]], 'float32')", CSV),
        ("np.array([0.25, 2], 'float32')", JSON),
        ("np.float32(0.5)", JSON),
        ("pandas.DataFrame({'a': [1, 2], 'b': [3, 4]})", CSV),
        ("pandas.DataFrame({'a': [1, 2], 'b': [0.5, 4]})", NPY),
        ("pandas.Series([1, 2])", CSV),
        ("torch.tensor([0.1, 2], dtype=torch.float64, requires_grad=True).detach()", CSV),
        ("torch.tensor([[1.5]], requires_grad=True).detach()", NPY),
    ],
)
def test_predictions_are_written_as_the_toolkit_writes_them(tmp_path: Path, prediction: str, accept: str) -> None:
    code = f"""
        import collections
        import numpy as np
        def model_fn(model_dir): return 1
        def predict_fn(data, model):
            {"import pandas" if "pandas" in prediction else "import torch" if "torch" in prediction else "pass"}
            return {prediction}
    """
    script = Script.write(tmp_path, code)
    theirs, ours = script.theirs(None, b"[1]", JSON, accept), script.ours(b"[1]", JSON, accept, defaults="generic")
    assert (theirs[0], value(theirs[1], accept)) == (ours[0], value(ours[1], accept))


@pytest.mark.parametrize(("body", "content_type"), [(b"{", JSON), (b"1,2\n3", CSV), (b"x", NPY), (b"x", "image/png")])
def test_what_the_toolkit_cannot_read_is_an_error_here_too(tmp_path: Path, body: bytes, content_type: str) -> None:
    """There a fault of the server, here one of the client."""
    script = Script.write(tmp_path, ECHO)
    assert script.theirs(None, body, content_type, JSON)[0] == 500 or content_type == "image/png"
    assert script.ours(body, content_type, JSON)[0] in (400, 415)


def test_sparse_matrices(tmp_path: Path) -> None:
    from scipy import sparse

    stream = io.BytesIO()
    sparse.save_npz(stream, sparse.csr_matrix(np.array([[0, 1.5], [0, 0]])))
    code = "def model_fn(d): return 1\ndef predict_fn(data, model): return [data.format, data.toarray().tolist()]"
    script = Script.write(tmp_path, code)
    theirs = script.theirs(None, stream.getvalue(), "application/x-npz", JSON)
    ours = script.ours(stream.getvalue(), "application/x-npz", JSON)
    assert value(theirs[1], JSON) == value(ours[1], JSON) == ["csr", [[0, 1.5], [0, 0]]]


def test_a_script_that_asks_for_its_context(tmp_path: Path) -> None:
    code = """
        def model_fn(model_dir, context): return context.system_properties["model_dir"]
        def predict_fn(data, model, context): return [data.sum(), model]
    """
    script = Script.write(tmp_path, code)
    theirs, ours = script.theirs(None, b"[1, 2]", JSON, JSON), script.ours(b"[1, 2]", JSON, JSON)
    assert value(theirs[1], JSON) == value(ours[1], JSON) == [3, str(tmp_path)]


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ("[[1, 2.5], [3, 4]]", JSON),
        (b'["a"]', JSON),
        ("1,2\n3,4\n", CSV),
        ("1.5,2.5\n", CSV),
        (npy([[1]]), NPY),
        (bytearray(npy([0.5])), NPY),
    ],
)
def test_the_stand_in_decodes_and_encodes_as_the_toolkit_does(data: Any, content_type: str) -> None:
    from sagemaker_inference import decoder, encoder

    from byo_container.serving.models.script.stand_ins import inference

    theirs, ours = decoder.decode(data, content_type), inference.decode(data, content_type)
    assert ours.tolist() == theirs.tolist()
    for accept in (JSON, CSV, NPY):
        assert inference.encode(ours, accept) == encoder.encode(ours, accept)


def test_the_stand_in_has_the_toolkits_names() -> None:
    import importlib

    from byo_container.serving.models.script.stand_ins import inference

    for module, content in inference.modules().items():
        theirs = importlib.import_module(module)
        for name, value_of_ours in content.items():
            constant = isinstance(value_of_ours, str | list)
            assert hasattr(theirs, name)
            assert not constant or getattr(theirs, name) == value_of_ours
