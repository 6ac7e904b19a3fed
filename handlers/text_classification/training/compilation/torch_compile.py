"""All that knows the insides of torch.compile, whose names may change with PyTorch's releases.

What is compiled is the encoder's layer: all layers have the same code, so that it is compiled once, in a twelfth of the
time that a whole BERT takes. `Module.compile` leaves the names of the parameters alone, where wrapping the model would
put `_orig_mod.` before each. Lengths and rows are symbols in what is compiled: one graph for batches of all shapes.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Counters:
    """Of this process, since it started."""

    graphs: int = 0
    cache_hits: int = 0

    def __sub__(self, other: Counters) -> Counters:
        return Counters(self.graphs - other.graphs, self.cache_hits - other.cache_hits)


def counters() -> Counters:
    """Compiled graphs, and how many parts of them (forward with backward, or either) came from a cache."""
    from torch._dynamo.utils import counters as found

    hits = found["aot_autograd"]["autograd_cache_hit"] or found["inductor"]["fxgraph_cache_hit"]
    return Counters(found["stats"]["unique_graphs"], hits)


def repeated_layers(model: Any) -> list[Any]:
    """The layers of the encoder: the list of modules of one class that has the most parameters. The model itself where
    there is no such list."""
    import torch

    lists = [
        list(module)
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len({type(entry) for entry in module}) == 1
    ]
    return max(lists, key=_parameters, default=[model])


def _parameters(layers: list[Any]) -> int:
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())


def enable(layers: list[Any]) -> None:
    """The next pass compiles."""
    import torch
    import torch._dynamo
    import torch.fx.experimental._config as shapes

    shapes.use_duck_shape = False  # rows and length may be equal in the first batch, and are not therefore always
    torch._logging.set_logs(dynamo=logging.ERROR, inductor=logging.ERROR, aot=logging.ERROR)
    for layer in layers:
        layer.compile(dynamic=True)


def tolerate_failures() -> None:
    """What cannot be compiled from now on is computed eagerly, rather than that the job fails."""
    import torch._dynamo

    torch._dynamo.config.suppress_errors = True


def disable(layers: list[Any]) -> None:
    """The next pass is eager, for good."""
    for layer in layers:
        layer._compiled_call_impl = None


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Computes eagerly in its block. An evaluation would compile all again, for a graph without gradients."""
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield


def reason(error: BaseException) -> str:
    """Why compiling failed, in one line: of the errors that led to it the innermost."""
    while error.__cause__ is not None:
        error = error.__cause__
    inner = getattr(error, "inner_exception", None) or error
    text = re.sub(r"\s+", " ", re.split(r"\n\s*\n", str(inner).strip(), maxsplit=1)[0]).strip()
    return f"{type(inner).__name__}: {text[:300]}{'…' if len(text) > 300 else ''}"
