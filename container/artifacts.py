"""What the files of a model folder say of how it can be served without any code."""

from __future__ import annotations

from collections.abc import Collection


def torch_files(names: Collection[str]) -> list[str]:
    """What PyTorch's default model_fn would load: model.pt, else all of its kind."""
    found = sorted(name for name in names if name.endswith((".pt", ".pth")))
    return ["model.pt"] if "model.pt" in found else found


def is_pretrained(names: Collection[str]) -> bool:
    """Whether a folder is what save_pretrained of transformers leaves."""
    return "config.json" in names and any(name.endswith((".safetensors", ".bin")) for name in names)


def need_no_code(names: Collection[str]) -> bool:
    return is_pretrained(names) or len(torch_files(names)) == 1
