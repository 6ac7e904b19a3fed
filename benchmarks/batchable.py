"""A model that is worth its batches: a call takes 10 ms, and 1 ms for each input."""

from __future__ import annotations

import time
from typing import Any

CALL_S, INPUT_S = 0.010, 0.001


class Batchable:
    """Answers {"input": x} with {"result": x}."""

    def load(self, model_dir: object) -> None:
        return None

    def predict(self, model: None, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        time.sleep(CALL_S + INPUT_S * len(inputs))
        return [{"result": item["input"]} for item in inputs]
