"""Weights packed for oneDNN, and the private operators of PyTorch that this needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from byo_container.handlers.translation.inference import speed
from byo_container.handlers.translation.inference.speed import PACKING_OPS, PackedLinear, optimise_for_inference

SIDE = 600  # squared, more than PACKED_FROM


class Model(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Sequential(nn.Linear(SIDE, SIDE), nn.Linear(SIDE, 2))


@pytest.mark.parametrize("name", PACKING_OPS)
def test_pytorch_has_the_private_operators_that_pack_weights(name: str) -> None:
    """Where this fails, PyTorch has renamed them: translation still works, and is slower."""
    assert hasattr(torch.ops.mkldnn, name)


def test_large_layers_are_packed_and_compute_the_same() -> None:
    model, x = Model(), torch.randn(3, SIDE)
    expected = model.decoder(x)
    optimise_for_inference(model)
    assert [type(layer) for layer in model.decoder] == [PackedLinear, nn.Linear]
    with torch.inference_mode():
        torch.testing.assert_close(model.decoder(x), expected)


def test_without_the_operators_layers_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PACKING_OPS", (*PACKING_OPS, "_renamed_in_a_later_release"))
    model: Any = Model()
    optimise_for_inference(model)
    assert [type(layer) for layer in model.decoder] == [nn.Linear, nn.Linear]
