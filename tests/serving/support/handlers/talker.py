"""A handler that streams, converses and keeps sessions. Copied into the code folder of a server under test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from byo_container.container.handler import Conversation, InputError, RequestContext

NOTES = Path(os.environ["SAGEMAKER_BASE_DIR"]) / "notes"


class Talker:
    def load(self, model_dir: Path) -> None:
        return None

    def predict(self, model: None, inputs: list[Any], requests: list[RequestContext]) -> list[Any]:
        return [self._one(value, request) for value, request in zip(inputs, requests, strict=True)]

    def _one(self, value: Any, request: RequestContext) -> Any:
        match value:
            case {"count": number}:
                return self._parts(value, number)
            case {"header": name}:
                return request.header(name)
            case {"type": name}:
                request.content_type = name
                return iter([b"\x00\xff", b"", b"\x01"])
            case {"note": text}:
                assert request.session is not None
                with (request.session / "notes").open("a") as notes:
                    notes.write(text)
                return (request.session / "notes").read_text()
            case {"attributes": text}:
                request.reply_custom_attributes(text)
                return [request.custom_attributes, request.inference_id, request.target_variant]
        return value

    def _parts(self, value: dict[str, Any], number: int) -> Iterator[Any]:
        """Leaves a note of how far it has come."""
        try:
            for n in range(number):
                time.sleep(value.get("pause", 0))
                if n == value.get("fail"):
                    raise ValueError("out of numbers")
                if n == value.get("refuse"):
                    raise InputError("no such number")
                with NOTES.open("a") as notes:
                    notes.write(f"{n}\n")
                if n == value.get("unwritable"):
                    yield object()
                yield n if value.get("json") else f"{n} " + "x" * value.get("size", 0)
        finally:
            with NOTES.open("a") as notes:
                notes.write("end\n")

    def converse(self, model: None, message: str | bytes, conversation: Conversation) -> Any:
        seen = conversation.state["seen"] = conversation.state.get("seen", 0) + 1
        match message:
            case "count":
                return (f"{n}" for n in range(3))
            case "slow":
                return self._parts({"pause": 0.1}, 100)
            case "nothing":
                return None
            case "seen":
                return {"seen": seen}
            case "fail":
                raise ValueError("secret")
            case "refuse":
                raise InputError("say something else")
        return message
