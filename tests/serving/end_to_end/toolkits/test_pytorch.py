"""Against PyTorch's own container: its default functions, driven by its toolkit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.end_to_end.toolkits.both import ABSENT, Script, value

theirs_module = pytest.importorskip(
    "sagemaker_pytorch_serving_container.default_pytorch_inference_handler", reason=ABSENT
)
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
NET = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 3)
            self.drop = torch.nn.Dropout(0.9)
            torch.nn.init.constant_(self.linear.weight, 0.5)
            torch.nn.init.constant_(self.linear.bias, 0.25)
        def forward(self, x):
            assert x.dtype == torch.float32, x.dtype
            return self.drop(self.linear(x))

    def model_fn(model_dir): return Net()
"""
INPUT = "def input_fn(data, content_type): return torch.ones(1, 2)"
PREDICT = "def predict_fn(data, model): return model.eval()(data)"


def npy(values: Any, dtype: str) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values, dtype))
    return stream.getvalue()


@pytest.mark.parametrize("accept", [JSON, CSV, NPY])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[[1, 2], [3, 4]]", JSON),
        (b"[1.5, 2]", JSON),
        (b"1.5,2.5\n3.5,4.5\n", CSV),
        (npy([[1, 2]], "float32"), NPY),
    ],
)
@pytest.mark.parametrize("own", ["", INPUT, PREDICT])
def test_a_network_answers_as_in_its_container(
    tmp_path: Path, own: str, body: bytes, content_type: str, accept: str
) -> None:
    script = Script.write(tmp_path, NET + f"\n    {own}\n")
    theirs = script.theirs(theirs_module.DefaultPytorchInferenceHandler(), body, content_type, accept)
    ours = script.ours(body, content_type, accept)
    assert theirs[0] == ours[0] == 200, (theirs, ours)
    assert value(theirs[1], accept) == value(ours[1], accept)


@pytest.mark.parametrize("name", ["model.pt", "net.pth"])
def test_torchscript_needs_no_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    import torch

    monkeypatch.chdir(tmp_path)  # where theirs looks for files by another name than model.pt
    torch.jit.script(torch.nn.Linear(2, 1)).save(str(tmp_path / name))
    script = Script.write(tmp_path, "def model_warmup_fn(model_dir, model): pass")
    handler = theirs_module.DefaultPytorchInferenceHandler()
    theirs, ours = script.theirs(handler, b"[[1, 2]]", JSON, JSON), script.ours(b"[[1, 2]]", JSON, JSON)
    assert theirs[0] == ours[0] == 200, (theirs, ours)
    assert value(ours[1], JSON)[0] == pytest.approx(value(theirs[1], JSON)[0], rel=1e-6)  # digits of float32
