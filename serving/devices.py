"""GPUs: which there are, which worker gets which, and the mode in which PyTorch predicts.

Nothing here initialises CUDA: a process that has done so cannot be forked, and the devices that it sees cannot be
changed any more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext

from byo_container.container.accelerators import count_gpus
from byo_container.container.resources import cores, memory_bytes

VARIABLE = "CUDA_VISIBLE_DEVICES"
AUTOCAST = ("off", "bfloat16", "float16")
# A framework such as TensorFlow takes about this much memory before it loads a model.
FRAMEWORK_BYTES = 600 * 1024 * 1024


def visible(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The devices that this container may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = environ.get(VARIABLE)
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(count_gpus())]


def default_workers(model_bytes: int) -> int:
    """One worker for each GPU, or without GPUs for each core, but no more than fit in memory with their models; at
    least 1.

    A model counts twice: as its file, and as what it takes while it is being loaded.
    """
    return max(1, min(len(visible()) or cores(), memory_bytes() // (FRAMEWORK_BYTES + 2 * model_bytes)))


def least_used(used: Sequence[int | None], devices: int) -> int | None:
    """The device of a new worker, if the workers that stay have those in `used`; None if there are no devices."""
    return min(range(devices), key=used.count, default=None)


def inference_mode(autocast: str = "off") -> AbstractContextManager[object]:
    """The context of a prediction: no gradients and, unless `autocast` is off, numbers of half the size. Does nothing
    without PyTorch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return nullcontext()
    stack = ExitStack()
    stack.enter_context(torch.inference_mode())
    if autocast != "off":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        stack.enter_context(torch.autocast(device, dtype=getattr(torch, autocast)))
    return stack
