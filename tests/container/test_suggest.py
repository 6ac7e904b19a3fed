"""Suggestions for unknown names."""

from __future__ import annotations

import pytest

from byo_container.container.suggest import closest, did_you_mean


@pytest.mark.parametrize(
    ("name", "match"),
    [("epoch", "epochs"), ("Epochs", "epochs"), ("learning-rate", "learning_rate"), ("zzz", None), ("", None)],
)
def test_closest_known_name(name: str, match: str | None) -> None:
    assert closest(name, ["learning_rate", "epochs"]) == match


def test_message_has_the_closest_name_and_all_known_ones() -> None:
    assert did_you_mean("epoch", {"epochs", "architecture"}) == "did you mean 'epochs'? known are: architecture, epochs"
    assert did_you_mean("zzz", ["b", "a"]) == "known are: a, b"
    assert did_you_mean("zzz", []) == "known are: none"
