"""Handlers that compute for as many seconds as a request says, in the two ways there are.

Each leaves a file called by its process's id in the folder BUSY_MARKS when it begins, so that the
benchmark knows which workers are busy.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any


class Busy:
    def load(self, model_dir: object) -> None:
        return None

    def predict(self, model: None, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        seconds = max(item["input"] for item in inputs)
        if seconds:
            (Path(os.environ["BUSY_MARKS"]) / str(os.getpid())).touch()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.compute()
        return [{"result": item["input"]} for item in inputs]

    def compute(self) -> None:
        raise NotImplementedError


class PurePython(Busy):
    """Holds the interpreter's lock but for the switches every 5 ms that the interpreter forces."""

    def compute(self) -> None:
        sum(number * number for number in range(10_000))


class OutsideTheLock(Busy):
    """Computes in C with the lock released, as numpy, TensorFlow and PyTorch do: 0.1 s a call."""

    def compute(self) -> None:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 200_000)
