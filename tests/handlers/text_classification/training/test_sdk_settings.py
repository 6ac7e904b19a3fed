"""What SageMaker's SDK sends besides the hyperparameters."""

from __future__ import annotations

from typing import Any

import pytest

from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.training.sdk_settings import compile_wish, debugs_compiler, remark

ON = {"sagemaker_training_compiler_enabled": True}


@pytest.mark.parametrize(
    ("chosen", "platform", "wish"),
    [
        ("auto", {}, "auto"),
        ("auto", ON, True),
        ("auto", {"sagemaker_training_compiler_enabled": "True"}, True),
        ("auto", {"sagemaker_training_compiler_enabled": "false"}, "auto"),
        (False, ON, False),
        (True, {}, True),
    ],
)
def test_compile_wish(chosen: Any, platform: dict[str, Any], wish: object) -> None:
    assert compile_wish(Hyperparameters(compile=chosen), platform) == wish


def test_one_line_says_what_became_of_all() -> None:
    platform = {**ON, "sagemaker_training_compiler_debug_mode": "true", "sagemaker_job_name": "x"}
    assert debugs_compiler(platform)
    said = remark(Hyperparameters(), {"epochs": "3", "n_gpus": "1", "disable-profiler": "true"}, platform)
    assert said == (
        "n_gpus: without effect: what the host has is used; "
        "disable-profiler: without effect: SageMaker's profiler and debugger are not here: the log and the report have "
        "speed and memory; sagemaker_training_compiler_enabled: torch.compile takes the place of SageMaker Training "
        "Compiler, which has been retired; sagemaker_training_compiler_debug_mode: torch.compile logs what it "
        "compiles, and why again"
    )
    assert "compile=false goes before it" in remark(Hyperparameters(compile=False), {}, ON)
    assert remark(Hyperparameters(), {"epochs": "3"}, {"sagemaker_job_name": "x"}) == ""
