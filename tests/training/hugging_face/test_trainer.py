"""What a script overrides is called by its own signature, and its arguments have the names that it knows."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from byo_container.training.hugging_face import notes, trainer
from byo_container.training.hugging_face.machine import Machine
from byo_container.training.hugging_face.trainer import is_language_model, shorten


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


@dataclass
class Arguments:
    """Those of the installed release."""

    output_dir: str = ""
    eval_strategy: str = "no"
    use_cpu: bool = False
    local_rank: int = -1


def test_old_arguments_are_taken_and_can_be_read_also_in_classes_that_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_machine", Machine)
    monkeypatch.setattr(notes, "_older", [])
    monkeypatch.setenv("LOCAL_RANK", "1")
    module: Any = ModuleType("transformers.training_args")
    module.TrainingArguments = dataclass(type("TrainingArguments", (Arguments,), {}))
    trainer.change_training_args(module)
    base = module.TrainingArguments

    @dataclass
    class Own(base):  # type: ignore[misc, valid-type]
        alpha: float = 1.0

    class ByHand(Own):
        def __init__(self, **given: Any) -> None:
            super().__init__(alpha=2.0, **given)

    assert (base().overwrite_output_dir, base().local_rank) == (None, -1)
    for kind, alpha in ((Own, 1.0), (ByHand, 2.0), (base, None)):
        made = kind(evaluation_strategy="epoch", overwrite_output_dir=True)
        assert (made.eval_strategy, made.evaluation_strategy) == ("epoch", "epoch")
        assert (made.overwrite_output_dir, made.no_cuda, getattr(made, "alpha", None)) == (True, False, alpha)
        assert made.local_rank == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [("BertForSequenceClassification", False), ("PeftModelForCausalLM", True), ("GPT2LMHeadModel", True)],
)
def test_language_models(name: str, expected: bool) -> None:
    assert is_language_model(type(name, (), {})()) is expected
