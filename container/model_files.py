"""What the files of a model folder say of how it can be served without any code."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

SAVED_MODEL = "saved_model.pb"


def torch_files(names: Collection[str]) -> list[str]:
    """What PyTorch's default model_fn would load: model.pt, else all of its kind."""
    found = sorted(name for name in names if name.endswith((".pt", ".pth")))
    return ["model.pt"] if "model.pt" in found else found


def is_pretrained(names: Collection[str]) -> bool:
    """Whether a folder is what save_pretrained of transformers leaves."""
    return "config.json" in names and any(name.endswith((".safetensors", ".bin")) for name in names)


def needs_no_code(folder: Path) -> bool:
    """Whether a model folder can be served as it is."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return is_pretrained(names) or len(torch_files(names)) == 1 or find_saved_model(folder) is not None


def find_saved_model(folder: Path) -> Path | None:
    """TensorFlow's SavedModel in a model folder, a folder with saved_model.pb: the folder itself, one that is called
    by its version as TensorFlow Serving wants it, or export/Servo/VERSION, SageMaker's own place; the highest wins."""
    for parent in (folder, folder / "export" / "Servo"):
        if (parent / SAVED_MODEL).is_file():
            return parent
        versions = [path.parent for path in parent.glob(f"*/{SAVED_MODEL}") if path.parent.name.isdecimal()]
        if versions:
            return max(versions, key=lambda path: int(path.name))
    return None
