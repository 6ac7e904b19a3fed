# mypy: ignore-errors
"""MLServer's Hugging Face runtime. The newest optimum that it takes, 1.27, asks PyTorch's exporter to ONNX for two
functions that are gone; nothing here exports."""

from torch.onnx import symbolic_opset14

for name in ("_attention_scale", "_causal_attention_mask"):
    if not hasattr(symbolic_opset14, name):
        setattr(symbolic_opset14, name, None)

from mlserver_huggingface import HuggingFaceRuntime  # noqa: E402


class Classifier(HuggingFaceRuntime):
    pass
