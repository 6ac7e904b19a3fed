"""Script mode: a user's own training code, started as sagemaker-training-toolkit starts it.

The code imports nothing of ours; it gets the SM_* variables and its hyperparameters as arguments
(training/script_environment.py).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.container.sm_variables import region_of
from byo_container.container.source import pip
from byo_container.container.source.fetch import fetch
from byo_container.training.script_environment import command_line, variables

DEFAULT_PROGRAM = "train.py"
INFERENCE_PROGRAM = "inference.py"
MODULE = "SAGEMAKER_TRAINING_MODULE"
RUN_MODULE = ("-m", "byo_container.training.processes.run_module")
Kind = Literal["script", "package", "command"]


@dataclass(frozen=True)
class TrainingScript:
    """The program, such as `train.py`, relative to /opt/ml/code, and the source of its code. Or a framework module
    (`package.module:function`), which fetches and starts the code itself."""

    program: str
    source: str
    module: str = ""


def find_script(job: TrainingJob[Any]) -> TrainingScript | None:
    """The script that a job names by SAGEMAKER_TRAINING_MODULE, SAGEMAKER_PROGRAM or `sagemaker_program`; or train.py
    in /opt/ml/code, unless a handler is named. None for a handler. Raises JobError."""
    source = str(job.platform.get("sagemaker_submit_directory") or job.paths.code)
    program = choose_program(os.environ.get("SAGEMAKER_PROGRAM", ""), str(job.platform.get("sagemaker_program") or ""))
    module = os.environ.get(MODULE, "")
    if module and not re.fullmatch(r"\w+(\.\w+)*:\w+", module):
        raise JobError(f"the environment variable {MODULE} is {module!r}; it must be package.module:function")
    if program or module:
        return TrainingScript(program, source, module)
    names_handler = job.handler_name or os.environ.get("MODEL_HANDLER")
    if not names_handler and (job.paths.code / DEFAULT_PROGRAM).is_file():
        return TrainingScript(DEFAULT_PROGRAM, source)
    return None


def choose_program(of_image: str, of_job: str) -> str:
    """The training program, of the variable SAGEMAKER_PROGRAM and the hyperparameter `sagemaker_program`.

    As in the toolkit the variable goes first, unless an image sets it for `serve`, which has the same variable: a
    training that runs inference.py would end at once, and the job would seem to have succeeded.
    """
    if not of_image or not of_job or of_image == of_job:
        if of_image == INFERENCE_PROGRAM:
            log.warning(
                "SAGEMAKER_PROGRAM makes %s the training script; for `serve` alone it need not be set",
                INFERENCE_PROGRAM,
            )
        return of_image or of_job
    chosen = of_job if of_image == INFERENCE_PROGRAM else of_image
    log.warning("SAGEMAKER_PROGRAM is %s, and sagemaker_program %s; training by %s", of_image, of_job, chosen)
    return chosen


def fetch_code(script: TrainingScript, job: TrainingJob[Any]) -> None:
    """Brings the script's code to /opt/ml/code; a framework module does so itself. Raises JobError."""
    if not script.module:
        fetch(script.source, job.paths.code, region_of(job))


def commands(script: TrainingScript, job: TrainingJob[Any]) -> list[Command]:
    """The commands to run one after another: pip where the code has requirements, and the program. The code must be in
    /opt/ml/code. Raises JobError where the program is not there."""
    if script.module:
        log.info("training by the framework module %s, which %s asks for", script.module, MODULE)
        argv = [sys.executable, "-P", *RUN_MODULE, script.module]
        return [Command(argv, script.module, variables(job, script.program, script.source))]
    code = job.paths.code
    kind = kind_of(script.program, code)
    if kind != "package":  # the program of a package is a module, which setup.py may find anywhere
        _check_program(script, code)
    interpreter = interpreter_for(code / script.program) if kind == "command" else []
    argv = command_line(script.program, kind, job.hyperparameters, interpreter)
    log.info("script mode: %s", shlex.join(argv))
    program = Command(argv, script.program, variables(job, script.program, script.source), code)
    return [*install_commands(kind, code), program]


def kind_of(program: str, code: Path) -> Kind:
    """How a program is run: a shell script as a command, code with a setup.py as a package, any other .py file as a
    script."""
    if program.endswith(".sh"):
        return "command"
    if (code / "setup.py").is_file():
        return "package"
    return "script" if program.endswith(".py") else "command"


def _check_program(script: TrainingScript, code: Path) -> None:
    """Raises JobError where the program is not a file in the code. A link in the code may lead anywhere: it comes from
    the user, who may run any code here."""
    path = Path(os.path.normpath(code / script.program))
    if path.is_relative_to(code) or path.resolve().is_relative_to(code.resolve()):
        if path.is_file():
            return
        if path.is_symlink():
            to = os.readlink(path)
            raise JobError(f"the program {script.program!r} in {code} is a link to {to}, where there is no file")
    files = ", ".join(sorted(path.name for path in code.iterdir())[:10]) or "nothing"
    raise JobError(f"the program {script.program!r} is not in {code} (from {script.source}), which holds {files}")


def interpreter_for(program: Path) -> list[str]:
    """The interpreter for a program that is not executable and cannot be made so, as on a read-only or noexec mount:
    that of its first line, or sh. Empty where the program is executable. Raises JobError."""
    if os.access(program, os.X_OK):
        return []
    reason = "it lies in a folder mounted noexec"
    try:
        program.chmod(0o755)
    except OSError as error:
        reason = str(error.strerror)
    if os.access(program, os.X_OK):
        return []
    with program.open("rb") as file:
        first_line = file.readline(1024)
    if first_line.startswith(b"#!") and first_line[2:].strip():
        return os.fsdecode(first_line[2:].strip()).split(maxsplit=1)
    if program.suffix == ".sh":
        return ["/bin/sh"]
    raise JobError(
        f"{program} is not executable, and cannot be made so: {reason}; set its mode to 755 where it comes from"
    )


def install_commands(kind: Kind, code: Path) -> list[Command]:
    """The pip command for the code's package and requirements.txt; empty where it has neither."""
    if kind == "command":
        return []
    command = pip.install(code, ["."] if kind == "package" else [])
    return [command] if command else []


def has_inference_script(paths: Paths) -> bool:
    """Whether the code that trained can serve its model too."""
    return (paths.code / INFERENCE_PROGRAM).is_file()
