"""What sagemaker-training-toolkit itself makes of the inputs in toolkit_facts.json: fills in the answers there, the
first in full, of the others only what is not as in the first (null: not there). And toolkit_modules.json: the names
that a script finds in its modules, with the values of those that are constants.

    python -m venv /tmp/toolkit && /tmp/toolkit/bin/pip install sagemaker-training==5.1.1
    /tmp/toolkit/bin/python tests/training/end_to_end/toolkit_facts.py

Run by hand, after an input has been added; tests/training/end_to_end/test_toolkit_parity.py needs the file only.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

FACTS = Path(__file__).with_name("toolkit_facts.json")
MODULES = Path(__file__).with_name("toolkit_modules.json")
FOR_SCRIPTS = ("environment", "params", "mapping", "files", "errors", "logging_config", "content_types")
OF_THE_MACHINE = {"SM_NUM_CPUS", "SM_NUM_GPUS", "SM_NUM_NEURONS", "num_cpus", "num_gpus", "num_neurons"}
CONFIGS = {"hyperparameters": "hyperparameters", "resourceconfig": "resources", "inputdataconfig": "inputs"}
ROOT = "ROOT"


def main() -> None:
    cases = json.loads(FACTS.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as root:
        os.environ["SAGEMAKER_BASE_DIR"] = root  # which the toolkit reads as it is imported
        outside = dict(os.environ)
        for case in cases:
            os.environ.clear()
            os.environ.update(outside | case["given"]["environ"])
            facts = json.loads(json.dumps(ask(Path(root), case["given"])).replace(root, ROOT))
            case["facts"] = facts if case is cases[0] else unlike(cases[0]["facts"], facts)
        modules = {name: names_in(f"sagemaker_training.{name}") for name in FOR_SCRIPTS}
        modules["environment"]["Environment"] = attributes()
        found = json.dumps(modules, indent=0)
        MODULES.write_text(found.replace(root, ROOT) + "\n", encoding="utf-8")
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    FACTS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def names_in(module: str) -> dict[str, Any]:
    """The public names of a module, with their values where these are texts or lists of such."""
    things = {name: thing for name, thing in vars(importlib.import_module(module)).items() if not name.startswith("_")}
    imported = ("absolute_import", "logger")
    return {
        name: list(thing) if isinstance(thing, tuple) else thing if isinstance(thing, str | list) else None
        for name, thing in things.items()
        if not isinstance(thing, ModuleType) and name not in imported
    }


def attributes() -> list[str]:
    """What a script may ask of an Environment."""
    from sagemaker_training import environment  # type: ignore[import-not-found]

    return [name for name in dir(environment.Environment) if not name.startswith("_")]


def ask(root: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The toolkit's variables, arguments and commands for one input."""
    from sagemaker_training import entry_point, environment, process

    config, code = root / "input/config", root / "code"
    config.mkdir(parents=True, exist_ok=True)
    for name, key in CONFIGS.items():
        (config / f"{name}.json").write_text(json.dumps(given[key]), encoding="utf-8")
    shutil.rmtree(code, ignore_errors=True)
    for name in given["code"]:
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).touch()
    found = environment.Environment()
    variables = found.to_env_vars()
    pips: list[list[str]] = []
    process.check_error = lambda words, *_, **__: pips.append(words)
    entry_point.install(found.user_entry_point, str(code))
    command = process.ProcessRunner(found.user_entry_point, found.to_cmd_args(), {}, 1)._create_command()
    for name in ("SAGEMAKER_JOB_NAME", "SAGEMAKER_REGION", "CURRENT_HOST"):
        variables[name] = os.environ[name]
    del variables["SM_TRAINING_ENV"]
    return {
        "variables": {name: text for name, text in variables.items() if name not in OF_THE_MACHINE},
        "training_env": {name: value for name, value in dict(found).items() if name not in OF_THE_MACHINE},
        "pip": [words[words.index("pip") :] for words in pips],
        "command": readable(command),
    }


def unlike(first: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """What is other than in the first case."""
    changes: dict[str, Any] = {name: facts[name] for name in ("pip", "command")}
    for part in ("variables", "training_env"):
        old, new = first[part], facts[part]
        changes[part] = {name: new.get(name) for name in {**old, **new} if old.get(name) != new.get(name)}
    return changes


def readable(command: list[str]) -> list[str]:
    """A command line without what differs from machine to machine: the interpreter, and how a shell quotes."""
    if command[0] == "/bin/sh":
        return ["/bin/sh", "-c", *shlex.split(command[2].removeprefix('"').removesuffix('"'))]
    return ["python" if word == sys.executable else word for word in command]


if __name__ == "__main__":
    main()
