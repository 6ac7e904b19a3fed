"""The same job gives a script the same variables, arguments and commands as sagemaker-training-toolkit 5.1.1, whose
own answers stand in toolkit_facts.json (see toolkit_facts.py). What may differ is listed here and in
docs/differences.md.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.job import TrainingJob
from byo_container.training import script
from tests.support.tree import OURS, Tree

MakeTree = Callable[..., Tree]

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("toolkit_facts.json").read_text(encoding="utf-8"))
ROOT = "ROOT"
OF_THE_MACHINE = {"SM_NUM_CPUS", "SM_NUM_GPUS", "SM_NUM_NEURONS", "num_cpus", "num_gpus", "num_neurons"}
# What the toolkit does not have, or sets elsewhere than in the environment of the script.
MORE = {
    *{"SM_INPUT_DATA_DIR", "SM_OUTPUT_FAILURE", "SM_SOURCE_DIR", "SM_ENTRY_SCRIPT"},
    *{"SM_HOST_COUNT", "SM_CURRENT_HOST_RANK", "SM_TRAINING_ENV", "PYTHONPATH", "input_data_dir"},
}
PIP_FLAGS = {"--disable-pip-version-check", "--root-user-action=ignore"}


def facts(case: dict[str, Any]) -> dict[str, Any]:
    """The toolkit's answers in full: those of the first case, and what is other in this one."""
    whole = dict(case["facts"])
    for part in ("variables", "training_env"):
        whole[part] = {**CASES[0]["facts"][part], **case["facts"][part]}
    return whole


@pytest.fixture(params=CASES, ids=[case["case"] for case in CASES])
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One case of the table, its environment set."""
    for name in [name for name in os.environ if name.startswith((*OURS, "AWS_"))]:
        monkeypatch.delenv(name)
    for name, value in request.param["given"]["environ"].items():
        monkeypatch.setenv(name, value)
    found: dict[str, Any] = request.param
    return found


def ours(ml: MakeTree, given: dict[str, Any]) -> dict[str, Any]:
    """Our answers, in the form of the toolkit's."""
    tree = ml(
        hyperparameters=given["hyperparameters"],
        resources=given["resources"],
        channels={name: {} for name in given["inputs"]},
        inputs=given["inputs"],
        code=dict.fromkeys(given["code"], ""),
    )
    job = TrainingJob.read(tree.paths)
    found = script.find_script(job)
    assert found
    script.fetch_code(found, job)
    *pips, program = script.commands(found, job)
    env = json.loads(json.dumps(dict(program.env)).replace(str(tree.root), ROOT))
    return {
        "variables": env,
        "training_env": json.loads(env["SM_TRAINING_ENV"]),
        "pip": [[word for word in pip.argv[pip.argv.index("pip") :] if word not in PIP_FLAGS] for pip in pips],
        "command": readable(program.argv),
    }


def readable(argv: Sequence[str]) -> list[str]:
    if argv[0] == "/bin/sh":
        return ["/bin/sh", "-c", *shlex.split(argv[2])]
    return ["python" if word == sys.executable else word for word in argv]


def known(values: dict[str, Any], toolkits: dict[str, Any]) -> dict[str, Any]:
    """Without what is only ours, and what is nothing: the table has null for both."""
    hyphened = {name.replace("-", "_") for name in toolkits if name.startswith("SM_HP_")}
    extra = (MORE | hyphened | OF_THE_MACHINE) - set(toolkits)
    return {name: value for name, value in values.items() if name not in extra and value is not None}


def test_the_same_environment(ml: MakeTree, case: dict[str, Any]) -> None:
    expected, found = facts(case), ours(ml, case["given"])
    for part in ("variables", "training_env"):
        assert known(found[part], expected[part]) == known(expected[part], {})


def test_the_same_commands(ml: MakeTree, case: dict[str, Any]) -> None:
    expected, found = facts(case), ours(ml, case["given"])
    assert found["command"] == expected["command"]
    assert found["pip"] == expected["pip"]


def test_facts_cover_every_variable() -> None:
    assert len(CASES) > 20
    assert len(CASES[0]["facts"]["variables"]) > 25
    assert len(CASES[0]["facts"]["training_env"]) > 30
    assert all(case["facts"]["command"] for case in CASES)
