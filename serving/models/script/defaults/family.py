"""A family: the defaults of one of SageMaker's containers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from byo_container.serving.codecs import negotiation


def as_it_is(model: Any) -> Any:
    return model


@dataclass(frozen=True)
class Defaults:
    """The functions that SageMaker's container for one framework uses where a script leaves one out. They take a
    context, as a script's own may; content types and Accept reach them as the client sent them."""

    owner: str
    """The owner of the defaults, for a sentence such as "scikit-learn's default is used"."""
    input_fn: Callable[[Any, str, Any], Any]
    """(body, content_type, context) -> what the model takes. Raises RequestError 400 or 415."""
    predict_fn: Callable[[Any, Any, Any], Any]
    """(data, model, context) -> prediction"""
    output_fn: Callable[[Any, str, Any], tuple[Any, str]]
    """(prediction, accept, context) -> body and media type. Raises RequestError 406."""
    model_fn: Callable[[str, Any], Any] | None = None
    """(model_dir, context) -> model; None where the script must have its own. Raises JobError."""
    prepare: Callable[[Any], Any] = as_it_is
    """Called once with a model that the default predict_fn will use."""
    can_predict: Callable[[Any], bool] = callable
    """Whether the default predict_fn can use a model."""
    binary: type[bytes] | type[bytearray] = bytearray
    """The type in which a script's own input_fn gets a binary body: bytes in the containers that are Flask
    applications, a bytearray in those that use multi-model-server."""
    answer_type: Callable[[str, str], str] = negotiation.answer_type_or_events
    """(accept, default) -> the media type that output_fn is to write. Raises RequestError 406."""


def load(family: str) -> Defaults:
    """The defaults of a family, one of settings.FAMILIES."""
    found = importlib.import_module(f"byo_container.serving.models.script.defaults.{family}").DEFAULTS
    assert isinstance(found, Defaults)
    return found
