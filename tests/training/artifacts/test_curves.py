"""Curves of metrics: thinning and grouping."""

from __future__ import annotations

from itertools import pairwise

import pytest

from byo_container.training.artifacts import curves
from tests.training.support.artifacts import curve


def test_train_and_validation_curves_share_a_picture() -> None:
    rows = [row for name in ("train_loss", "val_loss", "loss", "lr", "bleu/valid") for row in curve(name, 2)]
    shown = curves.group_by_measure(curves.read_curves(rows))
    assert {name: sorted(group) for name, group in shown.items()} == {
        "loss": ["loss", "train_loss", "val_loss"],
        "lr": ["lr"],
        "bleu": ["bleu/valid"],
    }


@pytest.mark.parametrize("count", [1, 399, 400, 401, 799, 800, 801, 100_000])
def test_long_curve_is_thinned_evenly_and_keeps_its_last_point(count: int) -> None:
    found = curves.read_curves(iter(curve("loss", count)))["loss"]
    steps = [step for step, _ in found.points()]
    assert min(count, curves.MAX_POINTS / 3) <= len(steps) <= curves.MAX_POINTS
    assert steps[-1] == count - 1
    gaps = [after - before for before, after in pairwise(steps)][:-1]
    assert max(gaps, default=0) <= 2 * min(gaps, default=0)
    assert (found.count, found.last, found.least, found.greatest) == (count, count - 1, 0, count - 1)
