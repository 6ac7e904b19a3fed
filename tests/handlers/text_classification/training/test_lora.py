"""Which layers get adapters."""

from __future__ import annotations

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.training.lora import targets

LAYERS = ["bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.0.output.dense"]


def test_targets() -> None:
    assert targets(LAYERS, None) == LAYERS
    assert targets(LAYERS, "all-linear") == LAYERS
    assert targets(LAYERS, "query, ") == LAYERS[:1]
    assert targets(LAYERS, "output.dense,query") == LAYERS
    assert targets(LAYERS, '["query"]') == targets(LAYERS, "['query']") == LAYERS[:1]


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(JobError, match=r"lora_target_modules has 'q_lin', .* known are: dense, query"):
        targets(LAYERS, "query,q_lin")
