"""Which scripts run with what SageMaker's containers for Hugging Face had, and how they are started."""

from __future__ import annotations

import ast
import dataclasses
import sys
from pathlib import Path
from typing import Any

from byo_container.container.job import TrainingJob
from byo_container.container.process.child import Command
from byo_container.training.launchers.options import is_enabled
from byo_container.training.program_files import own_modules, packages_imported, program_of

PROCESS = ("-m", "byo_container.training.processes.hugging_face")
PACKAGES = {"transformers", "datasets"}
XLA = "sagemaker_pytorch_xla_multi_worker_enabled"
CALLS_ENTRY = "--call-mp-fn"
ENTRY = "_mp_fn"


def adapted(program: Command, job: TrainingJob[Any]) -> Command:
    """The command for a script that imports Transformers or datasets, or one whose `_mp_fn` is to be called; any other
    program as it is. Raises JobError."""
    if program.argv[0] != sys.executable or program.argv[1] == "-P":
        return program
    arguments = list(program.argv[1:])
    path = program_of(arguments, job.paths.code)
    calls_entry = is_enabled(job, XLA) and has_entry(path)
    if not calls_entry and not uses_hugging_face(path, job.paths.code):
        return program
    argv = [sys.executable, "-P", *PROCESS, *([CALLS_ENTRY] if calls_entry else []), *arguments]
    return dataclasses.replace(program, argv=argv)


def uses_hugging_face(program: Path, code: Path) -> bool:
    """Whether the program, or a module of its code that it imports, imports Transformers or datasets."""
    return any(packages_imported(tree) & PACKAGES for _, tree in own_modules(program, code))


def has_entry(program: Path) -> bool:
    """Whether the program has an `_mp_fn`, which the launcher of SageMaker Training Compiler calls in each process
    (`__name__` is then not `__main__`)."""
    tree = next((tree for _, tree in own_modules(program, program.parent)), ast.Module([], []))
    return any(isinstance(node, ast.FunctionDef) and node.name == ENTRY for node in tree.body)
