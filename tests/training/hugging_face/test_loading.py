"""What scripts give to from_pretrained and load_dataset."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from byo_container.training.hugging_face import loading, notes


class Model:
    """What is called of the real one."""

    def __init__(self, dtype: str, token: Any) -> None:
        self.dtype, self.token = dtype, token

    @classmethod
    def from_pretrained(cls, dtype_of_file: str, dtype: str = "", token: Any = "", info: bool = False) -> Any:
        made = cls(dtype or dtype_of_file, token)
        return (made, {}) if info else made

    def float(self) -> None:
        self.dtype = "torch.float32"


@pytest.mark.parametrize(
    ("given", "token"), [({"use_auth_token": None}, ""), ({"use_auth_token": "t"}, "t"), ({"token": "t"}, "t")]
)
def test_use_auth_token_is_token(models: type[Model], given: dict[str, Any], token: str) -> None:
    assert models.from_pretrained("torch.float32", **given).token == token
    assert notes.is_older() == ("use_auth_token" in given)


def test_load_dataset_takes_it_too() -> None:
    module: Any = ModuleType("datasets.load")
    module.load_dataset = lambda path, **given: (path, given)
    loading.change_load(module)
    assert module.load_dataset("csv", use_auth_token=None, split="train") == ("csv", {"split": "train"})
    assert module.load_dataset("csv", use_auth_token=True) == ("csv", {"token": True})


@pytest.mark.parametrize("options", [{}, {"info": True}])
def test_a_half_precise_model_is_float32_in_a_script_for_transformers_4(
    models: type[Model], options: dict[str, Any]
) -> None:
    def load() -> Model:
        found = models.from_pretrained("torch.float16", **options)
        model: Model = found[0] if options else found
        return model

    early = load()
    assert early.dtype == "torch.float16"  # nothing says yet that the script is an older one
    notes.tell("it is")
    assert load().dtype == "torch.float32"
    loading.in_single_precision(early)
    assert early.dtype == "torch.float32"


def test_a_precision_that_the_script_chooses_stays(models: type[Model]) -> None:
    notes.tell("it is")
    chosen = models.from_pretrained("torch.float32", dtype="torch.float16")
    loading.in_single_precision(chosen)
    assert chosen.dtype == "torch.float16"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> type[Model]:
    module: Any = ModuleType("transformers.modeling_utils")
    module.PreTrainedModel = type("PreTrainedModel", (Model,), {"from_pretrained": vars(Model)["from_pretrained"]})
    loading.change_models(module)
    changed: type[Model] = module.PreTrainedModel
    return changed


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_older", [])
