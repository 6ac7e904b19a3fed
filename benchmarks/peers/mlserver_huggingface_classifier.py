# mypy: ignore-errors
"""MLServer's Hugging Face runtime. The newest optimum that it takes, 1.27, looks for functions of PyTorch's exporter to
ONNX where they lay before PyTorch 2.9, and the runtime for a class that has gone from Transformers with 4.42. A
classifier needs neither."""

from torch.onnx import symbolic_opset14
from torch.onnx._internal.torchscript_exporter import symbolic_opset14 as moved

for name, value in vars(moved).items():
    if not hasattr(symbolic_opset14, name):
        setattr(symbolic_opset14, name, value)

from transformers import pipelines  # noqa: E402

pipelines.Conversation = type("Conversation", (), {})

from mlserver_huggingface import HuggingFaceRuntime  # noqa: E402


class Classifier(HuggingFaceRuntime):
    pass
