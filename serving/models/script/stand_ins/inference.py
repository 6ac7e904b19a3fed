"""`sagemaker_inference`, the toolkit on which SageMaker's containers for PyTorch, MXNet and Hugging Face are built.

Source: https://github.com/aws/sagemaker-inference-toolkit/tree/master/src/sagemaker_inference
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from byo_container.container.script_path import byo_container_words
from byo_container.serving.codecs import media_types
from byo_container.serving.models.script.defaults import formats, generic
from byo_container.serving.models.script.stand_ins.containers import CONVERTERS, ENCODERS

PACKAGE = "sagemaker_inference"
CONTENT_TYPES = {**byo_container_words.CONTENT_TYPES, "NPZ": formats.NPZ}
DECODERS = {name: generic.READERS[name] for name in (media_types.JSON, media_types.CSV, media_types.NPY, formats.NPZ)}


class BaseInferenceToolkitError(Exception):
    """An error whose status and message are meant for the client."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        super().__init__(status_code, message, phrase)
        self.status_code = status_code
        self.message = message
        self.phrase = phrase


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """The same for any cause. Without a message it is "Invalid Request"."""

    def __init__(self, status_code: int, message: str | None = None, phrase: str | None = None) -> None:
        message = message or "Invalid Request"
        super().__init__(status_code, message, phrase or message)


class UnsupportedFormatError(Exception):
    """There is no decoder, or no encoder, for a media type: the client's mistake, in the toolkit the server's."""

    def __init__(self, content_type: str, status_code: int = 415) -> None:
        self.message = f"the media type {content_type!r} is not supported; use one of {', '.join(DECODERS)}"
        self.status_code = status_code
        super().__init__(self.message)


ERRORS = (BaseInferenceToolkitError, GenericInferenceToolkitError, UnsupportedFormatError)
for _error in ERRORS:
    _error.__module__ = f"{PACKAGE}.errors"  # by this, replies.py recognises a toolkit's error


def decode(obj: Any, content_type: str) -> Any:
    """A NumPy array, or a matrix of scipy.sparse from x-npz. Raises UnsupportedFormatError, and RequestError 400."""
    if media_types.content_type(content_type).name not in DECODERS:
        raise UnsupportedFormatError(content_type)
    return formats.read(DECODERS, obj, content_type)


def encode(array_like: Any, content_type: str) -> Any:
    """JSON and CSV as a text, npy as bytes. Raises UnsupportedFormatError."""
    if content_type not in ENCODERS:
        raise UnsupportedFormatError(content_type, 406)
    return CONVERTERS[ENCODERS[content_type]](array_like)


class DefaultInferenceHandler:
    """A base for a script's own handler class."""

    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no default_model_fn")

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        return decode(input_data, content_type)

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no default_predict_fn")

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        return encode(prediction, accept), accept


def read_file(path: str, mode: str = "r") -> Any:
    return Path(path).read_bytes() if "b" in mode else Path(path).read_text()


def write_file(path: str, data: Any, mode: str = "w") -> None:
    with open(path, mode) as stream:
        stream.write(data)


def parse_accept(accept: str) -> list[str]:
    """The media types of an Accept header, weights and all."""
    return "".join(accept.split(" ")).split(",")


def retrieve_content_type_header(request_property: dict[str, str]) -> str | None:
    return next((value for name, value in request_property.items() if name.lower() in _SPELLINGS), None)


_SPELLINGS = ("content-type", "contenttype")


def modules() -> dict[str, dict[str, Any]]:
    utils = (read_file, write_file, parse_accept, retrieve_content_type_header)
    return {
        f"{PACKAGE}.content_types": CONTENT_TYPES,
        f"{PACKAGE}.decoder": {"decode": decode},
        f"{PACKAGE}.encoder": {"encode": encode, "SUPPORTED_CONTENT_TYPES": set(ENCODERS)},
        f"{PACKAGE}.errors": {error.__name__: error for error in ERRORS},
        f"{PACKAGE}.utils": {function.__name__: function for function in utils},
        f"{PACKAGE}.default_inference_handler": {"DefaultInferenceHandler": DefaultInferenceHandler},
        f"{PACKAGE}.logging": {
            "get_logger": lambda: logging.getLogger(PACKAGE),
            "configure_logger": lambda: None,  # `serve` has configured it
        },
    }
