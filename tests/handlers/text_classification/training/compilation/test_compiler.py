"""torch.compile in a training by the real Trainer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from byo_container.container.rank import Rank
from byo_container.handlers.text_classification.preprocessing.padding import PadToBucket
from byo_container.handlers.text_classification.training.compilation import cache, decision
from byo_container.handlers.text_classification.training.compilation.compiler import Compiler
from byo_container.handlers.text_classification.training.compilation.measuring import Account
from tests.handlers.text_classification.support import LONGEST, tiny_model

ROWS, BATCH = 253, 8  # the last batch has five rows
STEPS = -(-ROWS // BATCH)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Of all lengths that the model takes."""
    lengths = [3 + number * 7 % (LONGEST - 2) for number in range(ROWS)]
    return [{"input_ids": [5 + n % 7] * n, "labels": n % 2, "length": n} for n in lengths]


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(tiny_model("bert", tmp_path / "tiny"), num_labels=2)


def train(model: Any, rows: list[dict[str, Any]], folder: Path, setting: decision.Setting = True) -> Account:
    """One epoch, and an evaluation after each 10 steps."""
    from datasets import Dataset
    from transformers import TrainingArguments

    from byo_container.handlers.text_classification.training.trainer import FineTuner

    compiler = Compiler(setting, Rank(), False, folder / cache.FILE, "key")
    arguments = TrainingArguments(
        str(folder / "checkpoints"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        use_cpu=True,
        eval_strategy="steps",
        eval_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    data = Dataset.from_list(rows)
    trainer = FineTuner(
        Rank(),
        {},
        compiler,
        model=model,
        args=arguments,
        data_collator=PadToBucket(0, LONGEST),
        train_dataset=data,
        eval_dataset=data.select(range(20)),
    )
    with compiler.training():
        assert trainer.train().global_step == STEPS
    return compiler.account()


@pytest.mark.slow
def test_few_graphs_serve_all_lengths_and_a_restart_finds_them(
    model: Any, rows: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    names = list(model.state_dict())
    account = train(model, rows, tmp_path)
    assert account.state == "compiled"
    assert account.graphs == 1, "the layers have one graph together"
    assert account.recompiles < 10
    assert account.rows == ROWS - decision.EAGER_PASSES * BATCH - 2 * BATCH
    assert account.comparison is not None
    assert list(model.state_dict()) == names
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(set(said)), "no line comes twice"
    torch._dynamo.reset()
    again = train(model, rows, tmp_path)
    assert again.state == "compiled"
    assert again.cache_hits > account.cache_hits == 0


def test_without_a_compiler_the_training_is_eager(
    model: Any,
    rows: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    state = train(model, rows, tmp_path).state
    assert state == "eager: torch.compile needs a C++ compiler, and there is no g++ or clang++ on the PATH"


@pytest.mark.slow
def test_a_compiler_that_fails_leaves_the_training_eager(
    model: Any, rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import torch._dynamo
    import torch._inductor.config
    import torch._inductor.cpp_builder

    torch._dynamo.reset()
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)  # as in a new process
    # PyTorch reads CXX when its settings are imported, and remembers the compiler that it has found.
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (str(shutil.which("false")),))
    torch._inductor.cpp_builder.cpp_compiler_search.cache_clear()
    account = train(model, rows, tmp_path)
    assert account.state.startswith("eager: compiling failed: ")
    assert "\n" not in account.state
    assert not (tmp_path / cache.FILE).exists()


def test_compile_false_compiles_nothing(model: Any, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert train(model, rows, tmp_path, setting=False) == Account("eager: compile=false")
