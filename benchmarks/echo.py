"""The smallest handler there is: its figures are the server's own cost and nothing else's."""

from __future__ import annotations

from typing import Any


class Echo:
    """Answers {"input": x} with {"result": x}; has nothing to load and nothing to learn."""

    def train(self, job: object) -> None:
        print("first line", flush=True)

    def load(self, model_dir: object) -> None:
        return None

    def predict(self, model: None, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"result": item["input"]} for item in inputs]
