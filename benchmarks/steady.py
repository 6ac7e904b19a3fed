"""A model that takes its time and no processor: 10 ms a request, one after another, so that capacity is exact."""

from __future__ import annotations

import time
from typing import Any

SECONDS = 0.010


class Steady:
    """Answers {"input": x} with {"result": x}."""

    batch_size = 1

    def load(self, model_dir: object) -> None:
        return None

    def predict(self, model: None, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        time.sleep(SECONDS * len(inputs))
        return [{"result": item["input"]} for item in inputs]


class Slower(Steady):
    """100 ms a request."""

    def predict(self, model: None, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        time.sleep(9 * SECONDS * len(inputs))
        return super().predict(model, inputs)
