"""The names inside PyTorch that torch_compile.py uses: a release that lacks one must fail here, not in a job."""

from __future__ import annotations

import inspect
from operator import attrgetter

import pytest

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    "name",
    [
        "_dynamo.utils.counters",
        "_dynamo.config.suppress_errors",
        "fx.experimental._config.use_duck_shape",
        "_logging.set_logs",
        "compiler.set_stance",
        "nn.Module.compile",
    ],
)
def test_pytorch_has_it(name: str) -> None:
    import torch._dynamo
    import torch.fx.experimental._config

    assert attrgetter(name)(torch) is not None


def test_a_module_is_compiled_by_the_attribute_that_is_taken_away_again() -> None:
    layer = torch.nn.Linear(2, 2)
    assert layer._compiled_call_impl is None
    layer.compile(dynamic=True)
    assert layer._compiled_call_impl is not None


def test_loggers_have_these_names() -> None:
    assert {"dynamo", "inductor", "aot"} <= set(inspect.signature(torch._logging.set_logs).parameters)
