"""A script's model, and the defaults for what the script leaves out."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.container.model_files import SAVED_MODEL, find_saved_model
from byo_container.serving.models.script.defaults import family as defaults
from byo_container.serving.models.script.defaults.choose import VARIABLE, Evidence, Model, choose, imports_of
from byo_container.serving.models.script.defaults.family import Defaults
from byo_container.serving.models.script.defaults.formats import sentence
from byo_container.serving.settings import FAMILIES

STEPS = ("input_fn", "predict_fn", "output_fn")


def load_model(
    functions: Mapping[str, Callable[..., Any]], script: Path | None, model_dir: Path, setting: str, context: Any
) -> tuple[Any, Defaults]:
    """The model by model_fn, the script's own or a default one, and the defaults for the other functions (for a script
    that leaves nothing out they say what its input_fn expects). Raises JobError."""
    missing = left_out(functions)
    evidence = evidence_of(script, model_dir, setting)
    if "model_fn" in functions:
        model = functions["model_fn"](str(model_dir), context)
        family, because = choose(replace(evidence, model=Model.of(model)))
        found = defaults.load(family)
    else:
        family, because = choose(evidence)
        found = defaults.load(family)
        if found.model_fn is None:
            raise JobError(
                f"{script or model_dir} must define model_fn(model_dir), which loads the model: {found.owner} has no "
                f"default for it ({found.owner}, because {because}; {VARIABLE} may be one of {', '.join(FAMILIES)})"
            )
        model = found.model_fn(str(model_dir), context)
    if not missing:
        return model, found
    log.info("%s", log_line(script, missing, found.owner, because))
    if "predict_fn" not in missing:
        return model, found
    if not found.can_predict(model):
        raise JobError(
            f"{script or model_dir} must define predict_fn(data, model): {found.owner}'s default, used because "
            f"{because}, can do nothing with a {type(model).__name__}"
        )
    return found.prepare(model), found


def left_out(functions: Collection[str]) -> list[str]:
    """The functions of the convention that a script lacks."""
    wanted = ("model_fn",) if "transform_fn" in functions else ("model_fn", *STEPS)
    return [name for name in wanted if name not in functions]


def evidence_of(script: Path | None, model_dir: Path, setting: str) -> Evidence:
    files = frozenset(path.name for path in model_dir.iterdir()) if model_dir.is_dir() else frozenset()
    found = find_saved_model(model_dir)
    saved_model = (found / SAVED_MODEL).relative_to(model_dir).as_posix() if found else ""
    return Evidence(setting, imports_of(script) if script else frozenset(), files, saved_model, os.environ)


def log_line(script: Path | None, missing: list[str], owner: str, because: str) -> str:
    """The line of the log."""
    what = f"{script.name} leaves out {sentence(missing)}" if script else "there is no inference.py"
    return f"{what}: {owner}'s {'defaults are' if len(missing) > 1 else 'default is'} used, because {because}"
