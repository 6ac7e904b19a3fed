"""Whether to compile, as a function of the job and of measurements."""

from __future__ import annotations

import pytest

from byo_container.handlers.text_classification.training.compilation import decision
from byo_container.handlers.text_classification.training.compilation.decision import Setting
from byo_container.handlers.text_classification.training.compilation.measuring import Comparison


@pytest.mark.parametrize(
    ("setting", "has_gpu", "compiled"),
    [("auto", True, True), ("auto", False, False), (True, False, True), (True, True, True), (False, True, False)],
)
def test_at_the_start(setting: Setting, has_gpu: bool, compiled: bool) -> None:
    assert decision.at_start(setting, has_gpu).compiled is compiled


@pytest.mark.parametrize(
    ("setting", "seconds_left", "compiled"),
    [("auto", 350, False), ("auto", 370, True), (True, 1, True)],
)
def test_it_is_tried_where_the_rest_is_long_enough(setting: Setting, seconds_left: float, compiled: bool) -> None:
    found = decision.after_eager(setting, seconds_left)
    assert found.compiled is compiled
    if not compiled:
        assert "the rest of the training takes about 5.8 minutes, too short" in found.why


@pytest.mark.parametrize(
    ("setting", "rate", "compiled"), [("auto", 110, True), ("auto", 101, False), ("auto", 50, False), (True, 50, True)]
)
def test_it_is_undone_where_it_is_not_faster(setting: Setting, rate: float, compiled: bool) -> None:
    assert decision.after_compiled(setting, Comparison(8, 100.0, rate)).compiled is compiled
