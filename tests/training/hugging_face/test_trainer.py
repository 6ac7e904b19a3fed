"""What a script overrides is called by its own signature."""

from __future__ import annotations

from typing import Any

import pytest

from byo_container.training.hugging_face.trainer import shorten


class Base:
    def compute_loss(self, model: str, inputs: str, return_outputs: bool = False, count: int | None = None) -> Any:
        return "base"


class Older(Base):
    def compute_loss(self, model: str, inputs: str, return_outputs: bool = False) -> Any:  # type: ignore[override]
        return model, inputs, return_outputs


class Newer(Base):
    def compute_loss(self, model: str, *rest: Any, **given: Any) -> Any:
        return model, rest, given


@pytest.mark.parametrize(
    ("cls", "shortened", "result"),
    [(Base, False, "base"), (Older, True, ("m", "i", False)), (Newer, False, ("m", ("i",), {"count": 8}))],
)
def test_arguments_that_an_override_lacks(cls: type[Base], shortened: bool, result: Any) -> None:
    instance = cls()
    assert shorten(instance, Base, "compute_loss") is shortened
    assert instance.compute_loss("m", "i", count=8) == result


def test_arguments_given_by_position() -> None:
    instance = Older()
    shorten(instance, Base, "compute_loss")
    assert instance.compute_loss("m", "i", True, 8) == ("m", "i", True)  # type: ignore[call-arg]
