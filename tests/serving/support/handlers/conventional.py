"""Handlers as most people write their first one, around models with the interfaces of scikit-learn, ONNX Runtime and
Hugging Face. Copied into the code folder of a server under test."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from byo_container.container.handler import Conversation, RequestContext


class LinearModel:
    """As strict as scikit-learn's."""

    def predict(self, x: Any) -> Any:
        x = np.asarray(x, dtype=float)
        if x.ndim != 2:
            raise ValueError(f"Expected 2D array, got {x.ndim}D array instead")
        return x.sum(axis=1)


class Sklearn:
    batched = True

    def load(self, model_dir: Path) -> LinearModel:
        return LinearModel()

    def predict(self, model: LinearModel, inputs: list[Any]) -> Any:
        return model.predict(np.asarray(inputs, dtype=float))


class Session:
    """As onnxruntime.InferenceSession: arrays of one type in, a list of arrays out."""

    def run(self, names: list[str] | None, feed: dict[str, Any]) -> list[Any]:
        (x,) = feed.values()
        if x.dtype != np.float32 or x.ndim != 2:
            raise ValueError(f"Unexpected input data type or rank: {x.dtype}, {x.ndim}")
        scores = x / x.sum(axis=1, keepdims=True)
        return [scores.argmax(axis=1), scores]


class Onnx:
    batched = True

    def load(self, model_dir: Path) -> Session:
        return Session()

    def predict(self, model: Session, inputs: list[Any]) -> Any:
        return model.run(None, {"x": np.asarray(inputs, np.float32)})[1]


def pipeline(inputs: list[str], top_k: int = 1) -> list[dict[str, Any]]:
    """As transformers.pipeline: texts in, a dict for each out."""
    return [{"label": "POSITIVE" if "good" in text else "NEGATIVE", "score": 0.5 * top_k} for text in inputs]


class Pipeline:
    batched = True

    def load(self, model_dir: Path) -> Any:
        return pipeline

    def predict(self, model: Any, inputs: list[Any], requests: list[RequestContext]) -> list[Any]:
        return [self._one(model, text, request) for text, request in zip(inputs, requests, strict=True)]

    def _one(self, model: Any, text: Any, request: RequestContext) -> Any:
        if text == "stream":
            return (f"{word} " for word in ["one", "two", "three"])
        if isinstance(text, dict):
            return {"answer": text["question"]}
        return model([text], **request.parameters)[0]


class Where:
    """Says where it is written: in the event loop's thread or in another one."""

    def tolist(self) -> str:
        return "in the loop" if threading.current_thread() is threading.main_thread() else "beside it"


class Mistaken:
    """Returns what its input asks for, and mostly not what a handler should. With a word of its own for what it sees of
    headers, by HTTP and by WebSocket."""

    closed = 0

    def load(self, model_dir: Path) -> None:
        return None

    def predict(self, model: None, inputs: list[Any], requests: list[RequestContext]) -> Any:
        match inputs[0]:
            case {"header": name}:
                return [request.header(name) for request in requests]
            case {"large": size}:
                return [[Where(), "x" * size] for _ in inputs]
            case {"type": name}:
                requests[0].content_type = name
                return [self._parts()]
            case "closed":
                return [self.closed]
            case kind:
                return RETURNED[kind](inputs)

    def _parts(self) -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            type(self).closed += 1

    def converse(self, model: None, message: str | bytes, conversation: Conversation) -> Any:
        return conversation.header(str(message))


RETURNED: dict[str, Any] = {
    "dict": lambda inputs: {"label": "cat"},
    "text": lambda inputs: "x",
    "None": lambda inputs: None,
    "generator": lambda inputs: (value for value in inputs),
    "two": lambda inputs: [1, 2],
    "tuple": tuple,
    "deque": deque,
    "array": lambda inputs: np.zeros(len(inputs)),
}
