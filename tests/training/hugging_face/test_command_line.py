"""The command line of scripts that parse TrainingArguments."""

from __future__ import annotations

import pytest

from byo_container.training.hugging_face.command_line import left_out, mapped_words
from byo_container.training.hugging_face.machine import Machine

KNOWN = {
    "output_dir",
    "eval_strategy",
    "warmup_steps",
    "fp16",
    "bf16",
    "use_cpu",
    "report_to",
    "labels",
    "torch_compile",
}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ""),
        (
            "a.json --output_dir o --labels a b --learning_rate 3e-5",
            "a.json --output_dir o --labels a b --learning_rate 3e-5",
        ),
        ("--evaluation_strategy epoch --output_dir o", "--output_dir o --eval_strategy epoch"),
        ("--evaluation_strategy=epoch", "--eval_strategy epoch"),
        ("--overwrite_output_dir --output_dir o", "--output_dir o"),
        ("--overwrite_output_dir True --output_dir=o", "--output_dir o"),
        ("--warmup_ratio 0.1 --warmup_steps 0", "--warmup_steps 0.1"),
        ("--logging_dir logs", "--report_to tensorboard"),
        ("--fp16 True --output_dir o", "--output_dir o --bf16 True --use_cpu True"),
        ("--fp16 --output_dir o", "--output_dir o --bf16 True --use_cpu True"),
        ("--fp16 false", "--fp16 false"),
        ("--optim adamw_hf", "--optim adamw_torch"),
    ],
)
def test_words(words: str, expected: str) -> None:
    found, lines = mapped_words(words.split(), KNOWN, Machine(has_bfloat16=True, has_tensorboard=True))
    assert found == expected.split()
    assert bool(lines) == (words.replace("=", " ") != expected)


def test_training_compiler() -> None:
    assert mapped_words([], KNOWN, Machine(compile=True, compiler=True))[0] == ["--torch_compile", "True"]


def test_values_of_options_that_are_left_out() -> None:
    words = ["--overwrite_output_dir", "--past_index", "3", "--evaluation_strategy", "epoch", "--output_dir", "o"]
    assert left_out(words, KNOWN) == {"overwrite_output_dir": True, "past_index": 3}
    assert left_out(words, {*KNOWN, "overwrite_output_dir", "past_index"}) == {}
