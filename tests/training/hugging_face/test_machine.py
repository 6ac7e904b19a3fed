"""What a script's machine and job say of precision and compiling."""

from __future__ import annotations

import pytest

from byo_container.training.hugging_face.machine import asks_for_compiler


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("", False),
        ("{}", False),
        ("torn", False),
        ('{"sagemaker_training_compiler_enabled": true}', True),
        ('{"sagemaker_training_compiler_enabled": "True"}', True),
        ('{"sagemaker_training_compiler_enabled": false}', False),
    ],
)
def test_whether_the_job_asks_for_the_compiler(text: str, asks: bool) -> None:
    assert asks_for_compiler({"SM_FRAMEWORK_PARAMS": text}) is asks
