"""How logits are computed: by PyTorch, in bfloat16 where the processor multiplies it.

MODEL_PRECISION chooses another way. benchmarks/text_classification_backends.py measures it beside other runtimes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from byo_container.container.env_reader import EnvReader
from byo_container.container.hardware import this_hardware
from byo_container.handlers.text_classification.inference.encoding import Encoded

VARIABLE = "MODEL_PRECISION"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("auto", "float32", "bfloat16", "float16")

Network = Callable[[Sequence[Encoded], int], list[list[float]]]
"""Texts that are computed together, and the id that pads them → the logits of each."""


def choose(model: Any, environ: Any = None) -> Network:
    """Raises JobError for a wrong MODEL_PRECISION."""
    reader = EnvReader() if environ is None else EnvReader(environ)
    name = reader.choice(VARIABLE, PRECISIONS)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = DTYPES[this_hardware().best] if name == "auto" else getattr(torch, name)
    return in_pytorch(model.to(device=device, dtype=dtype).eval(), device)


def in_pytorch(model: Any, device: str) -> Network:
    """The model of Transformers as it is."""

    def run(batch: Sequence[Encoded], padding: int) -> list[list[float]]:
        width = max(len(one.ids) for one in batch)
        inputs = {"input_ids": padded([one.ids for one in batch], width, padding).to(device)}
        if any(len(one.ids) < width for one in batch):  # attention without a mask is faster
            inputs["attention_mask"] = padded([[1] * len(one.ids) for one in batch], width, 0).to(device)
        if any(1 in one.types for one in batch):  # all are 0 without them
            inputs["token_type_ids"] = padded([one.types for one in batch], width, 0).to(device)
        with torch.inference_mode():
            found: list[list[float]] = model(**inputs).logits.float().tolist()
        return found

    return run


def padded(rows: Sequence[Sequence[int]], width: int, padding: int) -> torch.Tensor:
    """(rows, width), with what is missing at the end."""
    return torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows])
