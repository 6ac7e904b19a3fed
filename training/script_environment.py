"""What a training script is given: the SM_* variables, and its hyperparameters as arguments; within the limits of
Linux."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.process.arguments import LONGEST_STRING, short, unpassable
from byo_container.container.script_path import FOLDER as SCRIPT_PATH
from byo_container.container.sm_variables import sm_variables, to_arguments, to_text


def variables(job: TrainingJob[Any], program: str, source: str) -> dict[str, str]:
    """The environment of a script: the SM_* variables, and PYTHONPATH with its folder. Raises JobError."""
    for name, value in job.hyperparameters.items():
        if fault := hyperparameter_fault(name, to_text(value)):
            raise JobError(f"{job.paths.hyperparameters}: the hyperparameter {short(name)} {fault}")
    passable = without_too_long(sm_variables(job, program, source), job.paths.hyperparameters)
    # SCRIPT_PATH is last, behind what is installed; see container/script_path/.
    paths = [str(job.paths.code), os.environ.get("PYTHONPATH"), str(SCRIPT_PATH)]
    return passable | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def hyperparameter_fault(name: str, text: str) -> str:
    """Why a hyperparameter cannot be an argument and the variable SM_HP_…; empty where it can."""
    if "=" in name or "\0" in name:
        return "has '=' or a NUL in its name, which no environment variable may have; rename it"
    return unpassable(f"SM_HP_{name}={text}")


def without_too_long(environ: Mapping[str, str], source: Path) -> dict[str, str]:
    """The variables that are not too long for a process. All hyperparameters together, as in SM_HPS, may be too long
    although each alone, as in SM_HP_… and among the arguments, is not."""
    lengths = {name: len(f"{name}={value}".encode(errors="replace")) for name, value in environ.items()}
    too_long = [f"{name} ({length} bytes)" for name, length in lengths.items() if length > LONGEST_STRING]
    if too_long:
        log.warning(
            "%s: not set, because no variable may have more than %d bytes: %s. Each hyperparameter is in its argument "
            "and in SM_HP_…, and all are in the file",
            source,
            LONGEST_STRING,
            ", ".join(too_long),
        )
    return {name: value for name, value in environ.items() if lengths[name] <= LONGEST_STRING}


def command_line(
    program: str, kind: str, hyperparameters: Mapping[str, Any], interpreter: Sequence[str] = ()
) -> list[str]:
    """The command line of a program with its hyperparameters as arguments. `kind` is a `script.Kind`; a command may
    need an `interpreter`."""
    arguments = to_arguments(hyperparameters)
    if kind == "script":
        return [sys.executable, program, *arguments]
    if kind == "package":
        return [sys.executable, "-m", program.removesuffix(".py").replace("/", "."), *arguments]
    words = [*interpreter, f"./{program}", *arguments]
    line = shlex.join(words)
    # As the toolkit does, through a shell; a line that is too long for one argument goes as arguments of the shell.
    return ["/bin/sh", "-c", *([line] if len(os.fsencode(line)) <= LONGEST_STRING else ['"$0" "$@"', *words])]
