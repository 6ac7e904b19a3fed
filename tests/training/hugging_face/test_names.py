"""Names that a module lacks are made when a script asks for them."""

from __future__ import annotations

from types import ModuleType

import pytest

from byo_container.training.hugging_face import names, notes


def test_lacking_names_are_made_and_told_when_they_are_used(caplog: pytest.LogCaptureFixture) -> None:
    module = ModuleType("transformers.utils")
    names.change_utils(module)
    assert not notes.is_older()
    assert module.send_example_telemetry("run_glue", None) is None
    assert notes.is_older()
    with pytest.raises(AttributeError, match=r"module 'transformers.utils' has no attribute 'nothing'"):
        _ = module.nothing


def test_names_that_are_there_stay() -> None:
    module = ModuleType("datasets")
    module.load_metric = own = object()  # type: ignore[attr-defined]
    names.change_datasets(module)
    assert module.load_metric is own


def test_a_module_keeps_the_names_it_makes_itself() -> None:
    module = ModuleType("transformers.trainer_utils")
    module.__dict__["__getattr__"] = lambda name: f"its {name}"
    module.IntervalStrategy = strategy = object()  # type: ignore[attr-defined]
    names.change_trainer_utils(module)
    assert module.other == "its other"
    assert module.EvaluationStrategy is strategy


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_older", [])
