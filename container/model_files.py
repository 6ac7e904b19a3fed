"""Which model folders can be served without any code, by their files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

SAVED_MODEL = "saved_model.pb"


def torch_files(names: Collection[str]) -> list[str]:
    """The files that PyTorch's default model_fn would load: model.pt, or else all .pt and .pth files."""
    files = sorted(name for name in names if name.endswith((".pt", ".pth")))
    return ["model.pt"] if "model.pt" in files else files


def is_pretrained(names: Collection[str]) -> bool:
    """Whether a folder was written by save_pretrained of transformers."""
    return "config.json" in names and any(name.endswith((".safetensors", ".bin")) for name in names)


def needs_no_code(folder: Path) -> bool:
    """Whether a model folder can be served without code."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return is_pretrained(names) or len(torch_files(names)) == 1 or find_saved_model(folder) is not None


def find_saved_model(folder: Path) -> Path | None:
    """The folder of TensorFlow's SavedModel, which has saved_model.pb: the model folder itself, a subfolder named by a
    version as for TensorFlow Serving, or export/Servo/VERSION as in SageMaker. The highest version wins."""
    for parent in (folder, folder / "export" / "Servo"):
        if (parent / SAVED_MODEL).is_file():
            return parent
        versions = [path.parent for path in parent.glob(f"*/{SAVED_MODEL}") if path.parent.name.isdecimal()]
        if versions:
            return max(versions, key=lambda path: int(path.name))
    return None
