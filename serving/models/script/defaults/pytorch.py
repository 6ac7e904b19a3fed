"""Defaults of SageMaker's container for PyTorch: TorchScript is loaded, tensors go in and out.

Source: https://github.com/aws/sagemaker-pytorch-inference-toolkit (default_pytorch_inference_handler.py)
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.model_files import torch_files
from byo_container.serving.codecs import media_types
from byo_container.serving.codecs.media_types import MediaType
from byo_container.serving.models.script.defaults import formats
from byo_container.serving.models.script.defaults.encoding import output_fn
from byo_container.serving.models.script.defaults.family import Defaults


def model_fn(model_dir: str, context: Any) -> Any:
    """model.pt, or the only .pt or .pth file, which must be TorchScript. Raises JobError."""
    torch = _torch()
    found = torch_files([path.name for path in Path(model_dir).iterdir()])
    if len(found) != 1:
        raise JobError(
            f"{model_dir} should have a model.pt, or one .pt or .pth file alone, where there is no model_fn; "
            f"it has {', '.join(found) or 'none'}"
        )
    path = Path(model_dir, found[0])
    try:
        return torch.jit.load(str(path), map_location=_device())
    except RuntimeError as error:
        raise JobError(
            f"{path} is no TorchScript: {str(error).splitlines()[0]}; save it by torch.jit.script(model).save(path), "
            "or bring an inference.py with model_fn, which makes the model and loads its state_dict"
        ) from None


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise JobError("the model needs PyTorch, which this image does not have") from None
    return torch


def _device() -> Any:
    torch = _torch()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _floats(read: formats.Reader) -> formats.Reader:
    return lambda data, media: _torch().tensor(read(data, media), dtype=_torch().float32, device=_device())


def _as_they_are(read: Callable[[formats.Data, MediaType], Any]) -> formats.Reader:
    return lambda data, media: _torch().from_numpy(read(data, media)).to(_device())


def _sparse(data: formats.Data, media: MediaType) -> Any:
    matrix = formats.sparse_matrix(data, media).tocoo()
    torch = _torch()
    numpy = media_types.import_numpy(415)
    places = torch.from_numpy(numpy.vstack(matrix.coords).astype("int64"))
    return torch.sparse_coo_tensor(places, torch.from_numpy(matrix.data), matrix.shape).to(_device())


def _tensor(data: formats.Data, media: MediaType) -> Any:
    """A tensor that torch.save wrote, as by the SDK's TorchTensorSerializer. No other pickles."""
    import pickle

    body = formats.bytes_of(data)
    formats.check_archive(body)
    try:
        tensor = _torch().load(io.BytesIO(body), map_location=_device(), weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if not hasattr(tensor, "numel"):
        raise ValueError(f"it holds a {type(tensor).__name__}, not a tensor")
    formats.check_size(tensor.numel() * tensor.element_size())
    return tensor


READERS: dict[str, formats.Reader] = {
    media_types.JSON: _floats(formats.json_array),
    media_types.CSV: _floats(formats.csv_columns),
    media_types.NPY: _as_they_are(formats.npy_array),
    formats.NPZ: _sparse,
    formats.TENSOR: _tensor,
    media_types.JSON_LINES: _floats(formats.records),
}


def input_fn(data: Any, content_type: str, context: Any) -> Any:
    """A tensor on the model's device: of float32 from JSON and CSV, else of the type that was sent."""
    return formats.read(READERS, data, content_type)


def prepare(model: Any) -> Any:
    """A module on its device and in evaluation mode; anything else as it is."""
    return model.to(_device()).eval() if isinstance(model, _torch().nn.Module) else model


def predict_fn(data: Any, model: Any, context: Any) -> Any:
    # Not inference_mode: a script's output_fn may compute with the prediction.
    with _torch().no_grad():
        return model(data.to(_device()) if hasattr(data, "to") else data)


DEFAULTS = Defaults("PyTorch", input_fn, predict_fn, output_fn, model_fn=model_fn, prepare=prepare)
