"""How logits are computed: by PyTorch, or with 8-bit weights by ONNX Runtime.

MODEL_PRECISION chooses. benchmarks/text_classification_backends.py measures both beside other runtimes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from byo_container.container.env_reader import EnvReader
from byo_container.container.failure import JobError
from byo_container.container.hardware import Hardware, this_hardware
from byo_container.container.log import log
from byo_container.handlers.text_classification import artifact, quantization
from byo_container.handlers.text_classification.artifact import Classifier
from byo_container.handlers.text_classification.inference import batches
from byo_container.handlers.text_classification.inference.encoding import Encoded
from byo_container.handlers.text_classification.quantization import Finding

VARIABLE = "MODEL_PRECISION"
PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")
Precision = Literal["float32", "bfloat16", "float16", "int8"]
DESCRIBED = {"int8": f"8-bit weights ({artifact.INT8})"}
BEST: Mapping[str, Precision] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Network:
    """A way to compute logits."""

    run: Callable[[Sequence[Encoded], int], list[list[float]]]
    """Texts that are computed together, and the id that pads them → the logits of each."""
    call_tokens: int
    """A call takes as long as so many tokens, apart from those that it has: see batches.py. Measured with 6 layers."""

    def compute(self, texts: Sequence[Encoded], padding: int) -> list[list[float]]:
        """The logits of each, in batches of similar length."""
        found: list[list[float]] = [[]] * len(texts)
        for batch in batches.by_length([len(text.ids) for text in texts], self.call_tokens):
            for number, logits in zip(batch, self.run([texts[number] for number in batch], padding), strict=True):
                found[number] = logits
        return found


@dataclass(frozen=True)
class Choice:
    """The precision, and a warning for the log, or none."""

    name: Precision
    warning: str = ""


def may_be_int8(asked: str, hardware: Hardware) -> bool:
    """Whether model_int8.onnx matters, for one of PRECISIONS."""
    return asked == "int8" or (asked == "auto" and hardware.has_fast_int8)


def choose(asked: str, hardware: Hardware, int8: Finding) -> Choice:
    """What is computed in, for one of PRECISIONS. Raises JobError where that is int8 and there is none."""
    if asked == "int8" and int8 is not Finding.USABLE:
        raise JobError(f"{VARIABLE} is int8, and {int8.value}; {quantization.ADVICE}")
    if asked != "auto":
        return Choice(asked)  # type: ignore[arg-type]  # one of PRECISIONS
    if int8 is Finding.USABLE:
        return Choice("int8")
    best = BEST[hardware.best]
    return Choice(best, f"{int8.value}, so the model computes in {best}" if int8 is not Finding.MISSING else "")


def load(classifier: Classifier, environ: Mapping[str, str] = os.environ) -> Network:
    """Raises JobError for a wrong MODEL_PRECISION, and a damaged model."""
    asked, hardware = EnvReader(environ).choice(VARIABLE, PRECISIONS), this_hardware()
    found, session = Finding.MISSING, None
    if may_be_int8(asked, hardware):
        found, session = quantization.open_session(classifier.source)
    choice = choose(asked, hardware, found)
    if choice.warning:
        log.warning("%s", choice.warning)
    log.info("the model computes in %s", DESCRIBED.get(choice.name, choice.name))
    if choice.name == "int8":
        return in_onnx_runtime(session)
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return in_pytorch(classifier.model().to(device=device, dtype=getattr(torch, choice.name)).eval(), device)


def in_pytorch(model: Any, device: str) -> Network:
    """The model of Transformers as it is."""
    import torch

    def run(batch: Sequence[Encoded], padding: int) -> list[list[float]]:
        width = max(len(one.ids) for one in batch)
        inputs = {"input_ids": torch.tensor(ids(batch, width, padding))}
        if any(len(one.ids) < width for one in batch):  # attention without a mask is faster
            inputs["attention_mask"] = torch.tensor(mask(batch, width))
        if any(1 in one.types for one in batch):  # all are 0 without them
            inputs["token_type_ids"] = torch.tensor(types(batch, width))
        with torch.inference_mode():
            there = {name: tensor.to(device) for name, tensor in inputs.items()}
            found: list[list[float]] = model(**there).logits.float().tolist()
        return found

    return Network(run, call_tokens=48)


def in_onnx_runtime(session: Any) -> Network:
    """A graph of quantization.py."""
    import numpy as np

    has_types = quantization.TYPES in {each.name for each in session.get_inputs()}

    def run(batch: Sequence[Encoded], padding: int) -> list[list[float]]:
        width = max(len(one.ids) for one in batch)
        feed = {quantization.IDS: ids(batch, width, padding), quantization.MASK: mask(batch, width)}
        if has_types:
            feed[quantization.TYPES] = types(batch, width)
        arrays = {name: np.array(rows, np.int64) for name, rows in feed.items()}
        found: list[list[float]] = session.run(None, arrays)[0].tolist()
        return found

    return Network(run, call_tokens=16)


def ids(batch: Sequence[Encoded], width: int, padding: int) -> list[list[int]]:
    """(rows, width), with `padding` at the end."""
    return [[*one.ids, *[padding] * (width - len(one.ids))] for one in batch]


def mask(batch: Sequence[Encoded], width: int) -> list[list[int]]:
    """(rows, width): 1 for tokens, 0 for padding."""
    return [[1] * len(one.ids) + [0] * (width - len(one.ids)) for one in batch]


def types(batch: Sequence[Encoded], width: int) -> list[list[int]]:
    """(rows, width), 0 for padding, and for a text without."""
    return [[*one.types, *[0] * (width - len(one.types))] for one in batch]
