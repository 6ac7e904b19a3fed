"""Defaults of SageMaker's container for Hugging Face: pipelines of transformers, called with a dict of `inputs` and
`parameters`.

Source: https://github.com/aws/sagemaker-huggingface-inference-toolkit (handler_service.py, decoder_encoder.py,
transformers_utils.py)
"""

from __future__ import annotations

import base64
import csv
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.files.json_object import read_object
from byo_container.serving.codecs import decoding, media_types, negotiation, plain_values, stream_parts
from byo_container.serving.codecs.media_types import MediaType
from byo_container.serving.errors import RequestError
from byo_container.serving.models.script import older_pipelines
from byo_container.serving.models.script.defaults import encoding, formats
from byo_container.serving.models.script.defaults.family import Defaults

# By the end of the name of a model's class, which config.json has under "architectures".
TASKS = {
    "TapasForQuestionAnswering": "table-question-answering",
    "ForQuestionAnswering": "question-answering",
    "ForTokenClassification": "token-classification",
    "ForSequenceClassification": "text-classification",
    "ForMultipleChoice": "multiple-choice",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "GPT2LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "text2text-generation",
    "EncoderDecoderModel": "text2text-generation",
    "T5WithLMHeadModel": "text2text-generation",
}
PNG = "image/png"
# Pillow's names of the formats, by media type.
IMAGES = {f"image/{name.lower()}": name for name in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")}

# Bytes that a cell of CSV takes in the dict of its row.
BYTES_A_CELL = 100


def model_fn(model_dir: str, context: Any) -> Any:
    """A pipeline of the task in HF_TASK, else of the task by config.json. Raises JobError."""
    try:
        import torch
        from transformers import pipeline
    except ImportError as error:
        raise JobError(f"a pipeline needs transformers and PyTorch, which this image does not have: {error}") from None
    older_pipelines.provide()
    config = Path(model_dir, "config.json")
    source = os.environ.get("HF_MODEL_ID", "") if not config.exists() else ""
    task = os.environ.get("HF_TASK") or task_of(config)
    trusted = os.environ.get("HF_TRUST_REMOTE_CODE", "").lower() in ("1", "true", "yes", "on", "y", "t")
    device = 0 if torch.cuda.is_available() else -1
    return pipeline(task=task, model=source or model_dir, device=device, trust_remote_code=trusted)


def task_of(config: Path) -> str:
    """The task of a model by its config.json. Raises JobError."""
    if not config.exists():
        raise JobError(f"there is no {config}: set HF_TASK to the task of the model, such as text-classification")
    classes = read_object(config).get("architectures") or [""]
    task = next((task for ending, task in TASKS.items() if str(classes[0]).endswith(ending)), None)
    if task is None:
        raise JobError(
            f"{config} does not tell the model's task: its architecture is {classes[0]!r}; set HF_TASK to the task, "
            "such as text-classification"
        )
    return task


def _csv(data: formats.Data, media: MediaType) -> dict[str, Any]:
    """The column `inputs`, else all columns, such as `question` and `context`: a dict a row."""
    text = formats.text_of(data, media)
    formats.check_weight(text)
    header = next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    # Each row has all names, however short it is.
    formats.check_size(len(header) * (text.count("\n") + text.count("\r") + 1) * BYTES_A_CELL)
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    names = {str(name).lower() for name in (rows[0] if rows else ())}
    if not names & {"inputs", "question", "context"}:
        raise ValueError("its first line must name the columns: inputs, or question and context")
    return {"inputs": [row["inputs"] for row in rows] if "inputs" in rows[0] else rows}


def _json_lines(data: formats.Data, media: MediaType) -> dict[str, Any]:
    """A line may be an input, or an object that has it under `inputs` as a body of JSON does."""
    values = decoding.decode(formats.bytes_of(data), media)[0]
    bare = all(isinstance(value, dict) and value.keys() == {"inputs"} for value in values)
    return {"inputs": [value["inputs"] for value in values] if bare else values}


READERS: dict[str, formats.Reader] = {
    media_types.JSON: formats.json_value,
    media_types.CSV: _csv,
    media_types.NPY: formats.npy_array,
    media_types.JSON_LINES: _json_lines,
    media_types.TEXT: lambda data, media: {"inputs": formats.text_of(data, media)},
    formats.OCTETS: lambda data, media: {"inputs": formats.bytes_of(data)},
    "image/*": lambda data, media: {"inputs": formats.image(data, media)},
    "application/x-image": lambda data, media: {"inputs": formats.image(data, media)},
    "audio/*": lambda data, media: {"inputs": formats.bytes_of(data)},
}


def input_fn(data: Any, content_type: str, context: Any) -> Any:
    """The value of JSON; from other types a dict of `inputs`: texts, an image of Pillow's in RGB, or bytes of audio."""
    return formats.read(READERS, data, content_type)


def predict_fn(data: Any, model: Any, context: Any) -> Any:
    if not isinstance(data, dict):
        return model(data)
    # Removed from the dict, as the container does: a dict without `inputs` is the input itself.
    inputs = data.pop("inputs", data)
    parameters = data.pop("parameters", None) or {}
    if not isinstance(parameters, dict):
        raise RequestError(400, f'"parameters" is {parameters!r}; it must be an object such as {{"top_k": 5}}')
    return model(inputs, **parameters)


def output_fn(prediction: Any, accept: str, context: Any) -> tuple[Any, str]:
    """JSON, with images in base64; CSV with a header from dicts; an image as such, where the client accepts one."""
    name = answer_type(accept, media_types.JSON)
    if name in IMAGES:
        return _image_bytes(prediction, name), name
    if name == media_types.JSON and not stream_parts.is_stream(prediction):
        return plain_values.dumps(_with_images(prediction) if "PIL.Image" in sys.modules else prediction), name
    if name == media_types.CSV and (table := _table(prediction)):
        return table, name
    return encoding.output_fn(prediction, name, context)


def answer_type(accept: str, default: str) -> str:
    try:
        return negotiation.answer_type_or_events(accept, default)
    except RequestError:
        found = next((name for name in negotiation.preferences(accept) if name in IMAGES or name == "image/*"), "")
        if not found:
            raise
        return found if found in IMAGES else PNG


def _image_bytes(prediction: Any, name: str) -> bytes:
    first = prediction[0] if isinstance(prediction, list) and prediction else prediction
    if not hasattr(first, "save"):
        raise RequestError(406, f"the prediction is no image; Accept {media_types.JSON} instead of {name}")
    stream = io.BytesIO()
    first.save(stream, format=IMAGES[name])
    return stream.getvalue()


def _with_images(value: Any) -> Any:
    """The same with a PNG in base64 in place of each image."""
    if isinstance(value, Mapping):
        return {key: _with_images(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_images(item) for item in value]
    if hasattr(value, "getbands"):  # an image of Pillow's
        return base64.b64encode(_image_bytes(value, PNG)).decode()
    return value


def _table(prediction: Any) -> str:
    """Rows under a header, where the prediction is a dict or several with the same names; else nothing."""
    rows = [prediction] if isinstance(prediction, Mapping) else prediction
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        return ""
    if any(row.keys() != rows[0].keys() for row in rows):
        return ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


DEFAULTS = Defaults("Hugging Face", input_fn, predict_fn, output_fn, model_fn=model_fn, answer_type=answer_type)
