"""A model with faults on demand, for the soak."""

from __future__ import annotations

import os
import sys
import time
from typing import Any


class Troubled:
    """Answers {"input": x} with {"result": x}, but for inputs that name a fault."""

    batch_size = 8

    def load(self, model_dir: object) -> bytearray:
        return bytearray(8 << 20)

    def cost(self, item: dict[str, Any]) -> float:
        return len(str(item["input"]))

    def predict(self, model: bytearray, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        time.sleep(0.002)
        return [{"result": self._act(item["input"])} for item in inputs]

    def _act(self, value: Any) -> Any:
        match value:
            case "raise":
                raise ValueError("a requested fault")
            case "exit":
                sys.exit(1)
            case "end":
                os._exit(5)
            case "hang":
                time.sleep(30)
        return value
