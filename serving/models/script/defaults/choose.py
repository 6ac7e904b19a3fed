"""Chooses the defaults for an inference.py: by MODEL_SERVER_DEFAULTS, else by its model, its imports, and the files in
the model folder."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from byo_container.container.model_files import is_pretrained, torch_files
from byo_container.serving.settings import AUTO

VARIABLE = "MODEL_SERVER_DEFAULTS"
MEMBERS = 100
# By what a script imports, best first: transformers builds on PyTorch, and XGBoost is used beside scikit-learn.
IMPORTS = {
    "transformers": "huggingface",
    "diffusers": "huggingface",
    "sentence_transformers": "huggingface",
    "sagemaker_huggingface_inference_toolkit": "huggingface",
    "xgboost": "xgboost",
    "sagemaker_xgboost_container": "xgboost",
    "torch": "pytorch",
    "torchvision": "pytorch",
    "sklearn": "sklearn",
    "sagemaker_sklearn_container": "sklearn",
}
# By the beginning of the full name of a model's class, or of one that it inherits from. A model of transformers is
# PyTorch's too, and XGBoost's classes in scikit-learn's style take arrays, as scikit-learn's do.
CLASSES = {
    "transformers.": "huggingface",
    "diffusers.": "huggingface",
    "sentence_transformers.": "huggingface",
    "xgboost.core.Booster": "xgboost",
    "xgboost.sklearn.": "sklearn",
    "torch.nn.": "pytorch",
    "torch.jit.": "pytorch",
    "sklearn.": "sklearn",
}


@dataclass(frozen=True)
class Model:
    """What model_fn returned, as far as it matters here."""

    classes: tuple[str, ...]
    """Full names of its class and of those that it inherits from; also of its members, where it is a collection."""
    name: str = ""
    callable: bool = False
    predicts: bool = False
    """Whether it has a method predict."""

    @classmethod
    def of(cls, model: Any) -> Model:
        members = model.values() if isinstance(model, dict) else model if isinstance(model, list | tuple) else ()
        some = islice(members, MEMBERS)  # a table of a million entries is a model too
        classes = [*type(model).__mro__, *(one for member in some for one in type(member).__mro__)]
        names = dict.fromkeys(f"{one.__module__}.{one.__qualname__}" for one in classes)
        return cls(tuple(names), type(model).__name__, callable(model), callable(getattr(model, "predict", None)))


@dataclass(frozen=True)
class Evidence:
    setting: str = AUTO
    imports: frozenset[str] = frozenset()
    """Top-level names of the packages that the script imports."""
    files: frozenset[str] = frozenset()
    """Names of what lies in the model folder."""
    saved_model: str = ""
    """Where in the model folder there is one of TensorFlow's."""
    environ: Mapping[str, str] = field(default_factory=dict)
    model: Model | None = None
    """None before there is one, where model_fn itself is left out."""


def choose(evidence: Evidence) -> tuple[str, str]:
    """One of settings.FAMILIES, and the reason, as the end of a sentence that begins with "because"."""
    if evidence.setting != AUTO:
        return evidence.setting, f"{VARIABLE} says so"
    for found in (_by_model(evidence.model), _by_imports(evidence.imports), _by_folder(evidence)):
        if found:
            return found
    model = evidence.model
    if model and model.predicts and not model.callable:
        return "sklearn", f"model_fn returned {_a(model.name)}, which has predict and cannot be called itself"
    return "generic", "nothing points to another framework"


def _by_model(model: Model | None) -> tuple[str, str] | None:
    for beginning, family in CLASSES.items():
        for name in model.classes if model else ():
            if name.startswith(beginning):
                return family, f"model_fn returned {_a(name)}"
    return None


def _by_imports(imports: frozenset[str]) -> tuple[str, str] | None:
    return next(((family, f"it imports {name}") for name, family in IMPORTS.items() if name in imports), None)


def _by_folder(evidence: Evidence) -> tuple[str, str] | None:
    if evidence.environ.get("HF_TASK"):
        return "huggingface", f"HF_TASK is {evidence.environ['HF_TASK']}"
    if is_pretrained(evidence.files):
        return "huggingface", "the model folder has config.json and weights"
    if torch_files(evidence.files):
        return "pytorch", f"the model folder has {torch_files(evidence.files)[0]}"
    # A script with a model_fn of its own takes arrays, as it always has.
    if evidence.saved_model and evidence.model is None:
        return "tensorflow", f"the model folder has {evidence.saved_model}"
    return None


def _a(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def imports_of(script: Path) -> frozenset[str]:
    """The top-level packages that a script imports anywhere, or that modules beside it import."""
    found: set[str] = set()
    left = [script]
    seen = {script}
    while left:
        names = _imports(left.pop())
        found |= names
        beside = [script.parent / f"{name}.py" for name in names]
        left += [path for path in beside if path.is_file() and path not in seen]
        seen.update(beside)
    return frozenset(found)


def _imports(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return set()
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module} if node.module else {name.name for name in node.names}
    return {name.partition(".")[0] for name in names}
