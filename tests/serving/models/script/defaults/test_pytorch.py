"""PyTorch's defaults for an inference.py, by PyTorch itself, on the graphics processor where there is one."""

from __future__ import annotations

import io
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from byo_container.container.failure import JobError
from byo_container.serving.errors import RequestError
from byo_container.serving.models.script.defaults import encoding
from byo_container.serving.models.script.defaults import pytorch as defaults
from byo_container.serving.models.script.model import ScriptModel
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.settings import Settings

if TYPE_CHECKING:
    from tests.serving.support.server import Start

torch = pytest.importorskip("torch")
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
# What it is given comes back, doubled in training, and with it where and of what type it was.
NET = """
    import torch
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))
        def forward(self, x):
            assert x.device == self.weight.device
            return x * self.weight * (2 if self.training else 1)
    def model_fn(model_dir): return Net()
"""


def answer(folder: Path, code: str, body: bytes, content_type: str = JSON, accept: str = JSON) -> bytes:
    script = folder / "inference.py"
    script.write_text(textwrap.dedent(code))
    model = ScriptModel(script, folder, Settings())
    model.load()
    (outcome,) = model.compute([Request(body, content_type, accept, lambda name: "", variables={})])
    reply = outcome[0] if isinstance(outcome, tuple) else outcome
    assert isinstance(reply, Reply), reply
    return reply.body


def saved(write: Any, value: Any) -> bytes:
    stream = io.BytesIO()
    write(*((value, stream) if write is torch.save else (stream, value)))
    return stream.getvalue()


def test_module_gets_tensors_in_evaluation_mode(tmp_path: Path) -> None:
    assert answer(tmp_path, NET, b"[[1, 2.5]]") == b"[[1.0,2.5]]"
    assert answer(tmp_path, NET, b"0.1,2\n3,4\n", CSV, CSV) == b"0.1,2.0\n3.0,4.0\n"
    assert answer(tmp_path, NET, saved(np.save, np.array([0.1])), NPY) == b"[0.1]"
    assert answer(tmp_path, NET, saved(torch.save, torch.tensor([7])), "tensor/pt") == b"[7.0]"


def test_output_fn_may_compute_with_the_tensor(tmp_path: Path) -> None:
    own = NET + "    def output_fn(prediction, accept): prediction += 1; return str(prediction.cpu().tolist())"
    assert answer(tmp_path, own, b"[1]") == b"[2.0]"


@pytest.mark.parametrize("name", ["model.pt", "any.pth"])
def test_torchscript_is_loaded_by_default(tmp_path: Path, name: str) -> None:
    torch.jit.trace(torch.nn.Softplus(), torch.ones(1)).save(str(tmp_path / name))
    assert answer(tmp_path, "def model_warmup_fn(model_dir, model): assert not model.training", b"[100]") == b"[100.0]"


def test_unloadable_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"should have a model\.pt, or one \.pt or \.pth file.*; it has none"):
        defaults.model_fn(str(tmp_path), None)
    torch.save({"weight": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(JobError, match=r"a\.pth is no TorchScript: .*state_dict"):
        defaults.model_fn(str(tmp_path), None)
    (tmp_path / "b.pt").touch()
    with pytest.raises(JobError, match=r"it has a\.pth, b\.pt"):
        defaults.model_fn(str(tmp_path), None)


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('the pickle ran')",)


@pytest.mark.parametrize("value", [Evil(), {"a": 1}])
def test_pickles_other_than_tensors_are_refused(value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        defaults.input_fn(saved(torch.save, value), "tensor/pt", None)
    assert caught.value.status == 400


def test_tensor_larger_than_its_storage_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        defaults.input_fn(saved(torch.save, torch.ones(1).expand(10**9)), "tensor/pt", None)
    assert caught.value.status == 413


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "bool"])
def test_tensors_of_any_dtype_are_encoded(dtype: str) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensor = torch.tensor([[1, 0]], dtype=getattr(torch, dtype), device=device)
    if tensor.is_floating_point():
        tensor.requires_grad_()
    body, _ = encoding.output_fn([tensor, {"a": tensor}], JSON, None)
    assert json.loads(body) == [[[1, 0]], {"a": [[1, 0]]}]
    assert json.loads(encoding.output_fn(tensor, JSON, None)[0]) == [[1, 0]]
    assert encoding.output_fn(tensor, CSV, None)[0] in (b"1,0\n", b"1.0,0.0\n", b"True,False\n")
    body, _ = encoding.output_fn(tensor, NPY, None)
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), [[1, 0]])


def test_float32_digits_are_the_same_in_json_and_csv() -> None:
    tensor = torch.tensor([0.1, 1 / 3])
    assert encoding.output_fn(tensor, JSON, None)[0] == b"[0.1,0.33333334]"
    assert encoding.output_fn(tensor, CSV, None)[0] == b"0.1\n0.33333334\n"


@pytest.mark.slow
def test_torchscript_is_served_without_code(start: Start, root: Path) -> None:
    """And the log says whose defaults do it."""
    torch.jit.trace(torch.nn.Softplus(), torch.ones(1)).save(str(root / "model" / "model.pt"))
    (root / "model" / "handler.json").unlink(missing_ok=True)
    server = start(root, MODEL_HANDLER="").ready()
    assert server.ask([[100]]) == [[100.0]]
    answer = server.post(data=b"100,200\n", headers={"Content-Type": "text/csv", "Accept": "text/csv"})
    assert (answer.status_code, answer.text) == (200, "100.0\n200.0\n")
    line = "there is no inference.py: PyTorch's defaults are used, because the model folder has model.pt"
    assert server.log().count(line) == 1
