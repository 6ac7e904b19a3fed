"""`from_pretrained` and `load_dataset`, for scripts that know those of Transformers 4 and datasets 2."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from byo_container.training.hugging_face.notes import is_older, tell

_AS_SAVED = "_byo_container_precision_as_saved"


def taking_older_token(name: str) -> Callable[[ModuleType], None]:
    """The change of a module with a class of that name: its `from_pretrained` takes `use_auth_token`."""
    return lambda module: _take_older_token(getattr(module, name))


def change_models(module: ModuleType) -> None:
    """transformers.modeling_utils: a model is loaded in single precision, unless the script says otherwise."""
    _take_older_token(module.PreTrainedModel)
    _replace(module.PreTrainedModel, _loading_singly)


def change_load(module: ModuleType) -> None:
    """datasets.load: what load_dataset does not know it takes for an option of the dataset's."""
    original = module.load_dataset

    @functools.wraps(original)
    def load_dataset(*positional: Any, **given: Any) -> Any:
        return original(*positional, **with_token(given, "load_dataset"))

    vars(module)["load_dataset"] = load_dataset


def with_token(given: dict[str, Any], function: str) -> dict[str, Any]:
    """The arguments with `token` in the place of `use_auth_token`."""
    if "use_auth_token" not in given:
        return given
    tell(f"{function}: use_auth_token is token")
    rest = {name: value for name, value in given.items() if name != "use_auth_token"}
    return rest if given["use_auth_token"] is None else {"token": given["use_auth_token"]} | rest


def in_single_precision(model: Any) -> None:
    """Changes a model to float32 that was loaded in the half precision of its file because the script did not say
    which: Transformers 4 loaded it in float32."""
    if not getattr(model, _AS_SAVED, False):
        return
    tell(f"from_pretrained: a model of {model.dtype} becomes float32, as dtype is not given")
    model.float()
    setattr(model, _AS_SAVED, False)


def _take_older_token(owner: Any) -> None:
    def change(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda kind, *positional, **given: original(kind, *positional, **with_token(given, "from_pretrained"))

    _replace(owner, change)


def _loading_singly(original: Callable[..., Any]) -> Callable[..., Any]:
    def from_pretrained(kind: Any, *positional: Any, **given: Any) -> Any:
        loaded = original(kind, *positional, **given)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        chosen = {name for name in ("dtype", "torch_dtype") if given.get(name) is not None}
        if (
            not chosen
            and str(model.dtype) in ("torch.float16", "torch.bfloat16")
            and not getattr(model, "is_quantized", False)
        ):
            setattr(model, _AS_SAVED, True)
            if is_older():
                in_single_precision(model)
        return loaded

    return from_pretrained


def _replace(owner: Any, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = vars(owner)["from_pretrained"].__func__
    owner.from_pretrained = classmethod(functools.wraps(original)(change(original)))
