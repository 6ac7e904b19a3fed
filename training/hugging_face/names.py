"""Functions and classes that Transformers 4 and datasets 1 had, and that their newer releases lack."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from byo_container.training.hugging_face.metrics import load_metric
from byo_container.training.hugging_face.notes import tell


def change_transformers(module: ModuleType) -> None:
    """transformers: names of the package itself, each made when it is first imported."""
    _provide(
        module,
        {
            "AdamW": adamw,
            "EvaluationStrategy": lambda: _of("transformers.trainer_utils", "IntervalStrategy"),
            "is_torch_tpu_available": lambda: _of("transformers.utils", "is_torch_xla_available"),
            "is_tf_available": lambda: _never,
            "is_flax_available": lambda: _never,
        },
    )


def change_optimization(module: ModuleType) -> None:
    _provide(module, {"AdamW": adamw})


def change_trainer_utils(module: ModuleType) -> None:
    _provide(module, {"EvaluationStrategy": lambda: module.IntervalStrategy})


def change_utils(module: ModuleType) -> None:
    """transformers.utils: example scripts report their use, which nobody collects here."""
    _provide(
        module,
        {
            "send_example_telemetry": lambda: _nothing,
            "is_offline_mode": lambda: _of("huggingface_hub", "is_offline_mode"),
        },
    )


def change_file_utils(module: ModuleType) -> None:
    """transformers.file_utils, the older name of transformers.utils."""
    change_utils(module)
    _provide(module, {"is_torch_tpu_available": lambda: _of("transformers.utils", "is_torch_xla_available")})


def change_accelerate(module: ModuleType) -> None:
    """accelerate.utils.dataclasses: its examples ask whether they run on a TPU."""
    kinds: Any = module.DistributedType
    if not hasattr(kinds, "TPU"):
        kinds.TPU = kinds.XLA


def change_datasets(module: ModuleType) -> None:
    """datasets: `load_metric` became a package of its own, which fetches the code of metrics from the hub."""
    _provide(module, {"load_metric": lambda: load_metric, "set_caching_enabled": lambda: _set_caching})


def change_tokenizers(module: ModuleType) -> None:
    """transformers.tokenization_utils_base: two older names of calling a tokenizer, and of padding."""
    tokenizer: Any = module.PreTrainedTokenizerBase
    if hasattr(tokenizer, "encode_plus"):
        return
    call = tokenizer.__call__

    def call_mapped(self: Any, *texts: Any, pad_to_max_length: bool = False, **options: Any) -> Any:
        if pad_to_max_length:
            tell("tokenizer: pad_to_max_length=True is padding='max_length'")
            options["padding"] = "max_length"
        return call(self, *texts, **options)

    def called(name: str, texts_name: str) -> Any:
        def encode(self: Any, *texts: Any, **options: Any) -> Any:
            tell(f"tokenizer: {name}(…) is a call of the tokenizer itself")
            if texts_name in options:
                texts = (options.pop(texts_name),)
            return self(*texts, **options)

        return encode

    tokenizer.__call__ = call_mapped
    tokenizer.encode_plus = called("encode_plus", "text")
    tokenizer.batch_encode_plus = called("batch_encode_plus", "batch_text_or_text_pairs")


def adamw() -> type:
    """AdamW with the arguments and defaults of Transformers'."""
    import torch

    class AdamW(torch.optim.AdamW):  # type: ignore[misc]
        def __init__(
            self,
            params: Any,
            lr: float = 1e-3,
            betas: tuple[float, float] = (0.9, 0.999),
            eps: float = 1e-6,
            weight_decay: float = 0.0,
            correct_bias: bool = True,
            no_deprecation_warning: bool = False,
        ) -> None:
            if not correct_bias:
                tell("AdamW: correct_bias=False is left out: PyTorch's corrects it always")
            super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    return AdamW


def _provide(module: ModuleType, names: dict[str, Callable[[], Any]]) -> None:
    """Makes each of the names that a module lacks when a script asks for it."""
    lacking = names.keys() - dir(module)
    previous = vars(module).get("__getattr__")

    def find(name: str) -> Any:
        if name in lacking:
            tell(f"{module.__name__}.{name} is byo-container's own: {module.__name__} no longer has it")
            value = names[name]()
            setattr(module, name, value)
            return value
        if previous:
            return previous(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    if lacking:
        vars(module)["__getattr__"] = find


def _of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _never() -> bool:
    return False


def _set_caching(enabled: bool) -> None:
    _of("datasets", "enable_caching" if enabled else "disable_caching")()


def _nothing(*_: Any, **__: Any) -> None:
    return
