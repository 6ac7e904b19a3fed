"""Script mode: a user's own training code, started as sagemaker-training-toolkit starts it.

The code imports nothing of ours; it gets the SM_* variables and its hyperparameters as arguments.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from byo_container.container.environment import region_of, sm_variables, to_arguments, to_text
from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.paths import Paths
from byo_container.container.process.arguments import LONGEST_STRING, short
from byo_container.container.process.child import Command
from byo_container.container.script_path import FOLDER as STAND_INS
from byo_container.container.source import pip
from byo_container.container.source.fetch import fetch

DEFAULT_PROGRAM = "train.py"
SERVED = "inference.py"
MODULE = "SAGEMAKER_TRAINING_MODULE"
RUN_MODULE = Path(__file__).resolve().parent / "processes" / "run_module.py"
Kind = Literal["script", "package", "command"]


@dataclass(frozen=True)
class TrainingScript:
    """The program (`train.py`, relative to /opt/ml/code) and where its code comes from; or the framework module
    (`package.module:function`) that is to see to both."""

    program: str
    source: str
    module: str = ""


def find(job: TrainingJob[Any], environ: Mapping[str, str] = os.environ) -> TrainingScript | None:
    """The script that a job asks for: SAGEMAKER_TRAINING_MODULE, SAGEMAKER_PROGRAM, `sagemaker_program`, or a train.py
    that lies in /opt/ml/code while nobody names a handler. Raises JobError."""
    source = str(job.platform.get("sagemaker_submit_directory") or job.paths.code)
    program = named_program(environ.get("SAGEMAKER_PROGRAM", ""), str(job.platform.get("sagemaker_program") or ""))
    module = environ.get(MODULE, "")
    if module and not re.fullmatch(r"\w+(\.\w+)*:\w+", module):
        raise JobError(f"the environment variable {MODULE} is {module!r}; it must be package.module:function")
    if program or module:
        return TrainingScript(program, source, module)
    names_handler = job.handler_name or environ.get("MODEL_HANDLER")
    if not names_handler and (job.paths.code / DEFAULT_PROGRAM).is_file():
        return TrainingScript(DEFAULT_PROGRAM, source)
    return None


def named_program(by_image: str, by_job: str) -> str:
    """SAGEMAKER_PROGRAM before `sagemaker_program`, as in the toolkit. But not what an image names for `serve`, which
    has the same variable: that would end at once, and the job pass for trained."""
    if not by_image or not by_job or by_image == by_job:
        if by_image == SERVED:
            log.warning("SAGEMAKER_PROGRAM makes %s the training script; for `serve` alone it need not be set", SERVED)
        return by_image or by_job
    chosen = by_job if by_image == SERVED else by_image
    log.warning("SAGEMAKER_PROGRAM is %s, and sagemaker_program %s; training by %s", by_image, by_job, chosen)
    return chosen


def prepare(script: TrainingScript, job: TrainingJob[Any]) -> list[Command]:
    """What is to be run, one after another: pip where the code asks for it, then the program itself.

    Brings the code to /opt/ml/code first. Raises JobError where the code or the program is not there.
    """
    if script.module:
        return [framework(script, job)]
    code = job.paths.code
    fetch(script.source, code, region_of(job))
    kind = kind_of(script.program, code)
    program = code / script.program
    if kind != "package":  # whose program is a module, which may lie anywhere that its setup.py knows
        _check_program(script, code)
    runner = interpreter_for(program) if kind == "command" else []
    words = command_line(script.program, kind, job.hyperparameters, runner)
    run = Command(words, script.program, variables(script, job), code)
    log.info("script mode: %s", shlex.join(run.argv))
    return [*installs(kind, code), run]


def _check_program(script: TrainingScript, code: Path) -> None:
    """JobError where the program is not a file in the code. A link may lead anywhere: who brings the code may do so."""
    path = Path(os.path.normpath(code / script.program))
    if path.is_relative_to(code) or path.resolve().is_relative_to(code.resolve()):
        if path.is_file():
            return
        if path.is_symlink():
            to = os.readlink(path)
            raise JobError(f"the program {script.program!r} in {code} is a link to {to}, where there is no file")
    there = ", ".join(sorted(path.name for path in code.iterdir())[:10]) or "nothing"
    raise JobError(f"the program {script.program!r} is not in {code} (from {script.source}), which holds {there}")


def interpreter_for(program: Path) -> list[str]:
    """What has to run a program that is not executable and cannot be made so, as in a folder that is mounted read-only
    or noexec: what its first line names, or sh. Empty where the system runs it itself. Raises JobError."""
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
        first = file.readline(1024)
    if first.startswith(b"#!") and first[2:].strip():
        return os.fsdecode(first[2:].strip()).split(maxsplit=1)
    if program.suffix == ".sh":
        return ["/bin/sh"]
    raise JobError(
        f"{program} is not executable, and cannot be made so: {reason}; set its mode to 755 where it comes from"
    )


def framework(script: TrainingScript, job: TrainingJob[Any]) -> Command:
    """The call of a framework module, with the variables of a script; it brings and installs the code itself."""
    log.info("training by the framework module %s, which %s asks for", script.module, MODULE)
    argv = [sys.executable, "-P", str(RUN_MODULE), script.module]
    return Command(argv, script.module, variables(script, job))


def variables(script: TrainingScript, job: TrainingJob[Any]) -> dict[str, str]:
    """The environment of a script: the SM_* variables, and its folder to import from. Raises JobError."""
    for name, value in job.hyperparameters.items():
        if wrong := unpassable(name, to_text(value)):
            raise JobError(f"{job.paths.hyperparameters}: the hyperparameter {short(name)} {wrong}")
    made = without_too_long(sm_variables(job, script.program, script.source), job.paths.hyperparameters)
    # Last, and behind what is installed: see container/script_path/.
    paths = [str(job.paths.code), os.environ.get("PYTHONPATH"), str(STAND_INS)]
    return made | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def without_too_long(made: Mapping[str, str], source: Path) -> dict[str, str]:
    """The variables that a process can have. All hyperparameters together, which SM_HPS and others hold, may be longer
    than that though each by itself, in SM_HP_… and among the arguments, is not."""
    lengths = {name: len(f"{name}={value}".encode(errors="replace")) for name, value in made.items()}
    too_long = [f"{name} ({length} bytes)" for name, length in lengths.items() if length > LONGEST_STRING]
    if too_long:
        log.warning(
            "%s: not set, because no variable may have more than %d bytes: %s. Each hyperparameter is in its argument "
            "and in SM_HP_…, and all are in the file",
            source,
            LONGEST_STRING,
            ", ".join(too_long),
        )
    return {name: value for name, value in made.items() if lengths[name] <= LONGEST_STRING}


def unpassable(name: str, text: str) -> str:
    """Why a script cannot be given a hyperparameter as an argument and as the variable SM_HP_…; empty where it can."""
    if "=" in name or "\0" in name:
        return "has '=' or a NUL in its name, which no environment variable may have; rename it"
    if "\0" in text:
        return "has a NUL in its value, which no argument of a program may have"
    try:
        length = len(os.fsencode(f"SM_HP_{name}={text}"))
    except UnicodeEncodeError as error:
        return f"has what is no character in its name or value: {error.object[error.start]!r}"
    if length > LONGEST_STRING:
        return f"is too long: with its name it has {length} bytes, and no argument may have more than {LONGEST_STRING}"
    return ""


def kind_of(program: str, code: Path) -> Kind:
    """A shell script is run, a folder with setup.py is installed as a package, Python is run by Python."""
    if program.endswith(".sh"):
        return "command"
    if (code / "setup.py").is_file():
        return "package"
    return "script" if program.endswith(".py") else "command"


def installs(kind: Kind, code: Path) -> list[Command]:
    """The pip command that the code needs, if any."""
    if kind == "command":
        return []
    command = pip.install(code, ["."] if kind == "package" else [])
    return [command] if command else []


def command_line(program: str, kind: Kind, hyperparameters: Mapping[str, Any], runner: Sequence[str] = ()) -> list[str]:
    """How the program is started, its hyperparameters behind it; `runner` in front of a command."""
    arguments = to_arguments(hyperparameters)
    if kind == "script":
        return [sys.executable, program, *arguments]
    if kind == "package":
        return [sys.executable, "-m", program.removesuffix(".py").replace("/", "."), *arguments]
    words = [*runner, f"./{program}", *arguments]
    line = shlex.join(words)
    return ["/bin/sh", "-c", *([line] if len(os.fsencode(line)) <= LONGEST_STRING else ['"$0" "$@"', *words])]


def brings_inference(paths: Paths) -> bool:
    """Whether the code that trained also knows how to serve what it made."""
    return (paths.code / "inference.py").is_file()
