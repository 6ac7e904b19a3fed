"""What SageMaker's SDK and scripts for the same job send besides the hyperparameters: mapped, and said in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Literal

from byo_container.container.hyperparameters import convert
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters

COMPILER, DEBUG = "sagemaker_training_compiler_enabled", "sagemaker_training_compiler_debug_mode"
XLA = "sagemaker_pytorch_xla_multi_worker_enabled"


def compile_wish(chosen: Hyperparameters, platform: Mapping[str, Any]) -> bool | Literal["auto"]:
    """Whether the job asks for torch.compile: by `compile`, else by SageMaker Training Compiler's setting."""
    return True if chosen.compile == "auto" and _is_on(platform, COMPILER) else chosen.compile


def debugs_compiler(platform: Mapping[str, Any]) -> bool:
    """Whether the compiler is to log what it does."""
    return _is_on(platform, DEBUG)


def remark(chosen: Hyperparameters, texts: Mapping[str, str], platform: Mapping[str, Any]) -> str:
    """What became of settings that mean something else here, or nothing; empty where there are none."""
    by_reason: dict[str, list[str]] = {}
    for name in texts:
        reason = chosen.WITHOUT_EFFECT.get(name.replace("-", "_"))
        if reason:
            by_reason.setdefault(f"without effect: {reason}", []).append(name)
    if COMPILER in platform:
        by_reason.setdefault(_of_compiler(chosen, platform), []).append(COMPILER)
    if debugs_compiler(platform):
        by_reason.setdefault("torch.compile logs what it compiles, and why again", []).append(DEBUG)
    if _is_on(platform, XLA):
        by_reason.setdefault("ranks are started by torchrun, and not by torch_xla", []).append(XLA)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())


def _of_compiler(chosen: Hyperparameters, platform: Mapping[str, Any]) -> str:
    if not _is_on(platform, COMPILER):
        return "SageMaker Training Compiler stays off"
    if chosen.compile == "auto":
        return "torch.compile takes the place of SageMaker Training Compiler, which has been retired"
    return f"compile={str(chosen.compile).lower()} goes before it"


def _is_on(platform: Mapping[str, Any], name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(convert(str(platform.get(name, False)), bool))
    return False
