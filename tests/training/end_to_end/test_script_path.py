"""Training scripts that import SageMaker's toolkits, where those are not installed, and where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.script_path import FOLDER
from tests.support.tree import Tree

MakeTree = Callable[..., Tree]

TOOLKIT: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("toolkit_modules.json").read_text())
# What serves the toolkit itself, or starts what `train` has started already.
LACKING = {
    "environment": {"write_env_vars", "validate_smddprun", "validate_smddpmprun"},
    "params": {"DEFAULT_INVOCATIONS_ACCEPT_ENV", "SAGEMAKER_BIND_TO_PORT_ENV", "SAGEMAKER_SAFE_PORT_RANGE_ENV"},
    "mapping": {"MappingMixin"},
    "files": {"download_and_extract", "s3_download"},
    "logging_config": {"log_script_invocation"},
}
SCRIPT = """
import argparse, json, os
import sagemaker_training.environment
from sagemaker_training import entry_point, environment, errors, files, logging_config, mapping, params, runner

import sagemaker_containers
from sagemaker_containers import entry_point as older_entry_point
from sagemaker_containers.beta.framework import content_types, encoders, env, modules, transformer, worker

from sagemaker_inference import encoder

class MyTransformer(transformer.Transformer):
    pass

def input_fn(body, content_type=content_types.JSON):
    return encoders.decode(body, content_type)

job = environment.Environment()
older = sagemaker_containers.training_env()
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--hosts", default=older.hosts)
parser.add_argument("--data", default=older.channel_input_dirs.get("train"))
parser.add_argument("--workers", type=int, default=job.num_cpus)
found = vars(parser.parse_args())
assert dict(job) == dict(older) == {**job} and str(job) == str(dict(job)) and len(job) == len(job.properties())
assert job.current_instance_group_hosts == job.get_current_instance_group_hosts()
assert environment.num_gpus() == job.num_gpus and environment.num_neurons(job.current_instance_type) == job.num_neurons
found |= {
    "environment": dict(job),
    "instance_type": job.current_instance_type,
    "s3_output": job.sagemaker_s3_output(),
    "arguments": [job.to_cmd_args(), mapping.to_cmd_args({"b": 1})],
    "variables": job.to_env_vars() == {name: os.environ[name] for name in os.environ if name.startswith("SM_")},
    "configs": [environment.read_hyperparameters(), environment.read_resource_config(), env.read_input_data_config()],
    "channel": environment.channel_path("train"),
    "split": list(mapping.split_by_criteria({"sagemaker_a": 1, "b": 2, "c": 3}, keys=["c"], prefix="sagemaker_")),
    "made": mapping.to_env_vars({"b": [1], "c": None}),
    "program": params.USER_PROGRAM_ENV,
    "errors": [],
}
for call in (entry_point.run, older_entry_point.run, worker.Response, encoder.encode, lambda: job.nothing):
    try:
        call()
    except (NotImplementedError, AttributeError) as error:
        found["errors"].append(str(error))
try:
    raise errors.ExecuteUserScriptError("what is wrong")
except errors.ClientError as error:
    found["errors"].append(str(error))
logging_config.get_logger().info("no handler needed")
with files.tmpdir() as folder:
    files.write_file(folder + "/a", "b")
    assert files.read_file(folder + "/a") == "b"
files.write_file(job.model_dir + "/found.json", json.dumps(found))
"""

without_toolkits = pytest.mark.skipif(
    any(find_spec(name) for name in ("sagemaker_training", "sagemaker_containers")),
    reason="the real ones are installed",
)


@without_toolkits
def test_a_script_finds_its_job_by_the_toolkits_names(ml: MakeTree) -> None:
    given = {"lr": "0.1", "sagemaker_s3_output": '"s3://bucket/out"', "sagemaker_program": "train.py"}
    tree = ml(hyperparameters=given, channels={"train": {}}, code={"train.py": SCRIPT})
    done = tree.train()
    assert done.status == 0, done.err
    assert "WARNING" in done.err
    assert "sagemaker_s3_output is s3://bucket/out, and nothing is copied there" in done.err
    found = json.loads((tree.paths.model / "found.json").read_text())
    assert (found["lr"], found["hosts"], found["data"]) == (0.1, ["algo-1"], str(tree.paths.data / "train"))
    assert found["workers"] == os.cpu_count()
    assert found["environment"]["hyperparameters"] == {"lr": 0.1}
    assert (found["instance_type"], found["s3_output"]) == ("local", "s3://bucket/out")
    assert found["arguments"] == [["--lr", "0.1"], ["-b", "1"]]
    assert found["variables"]
    hyperparameters, resources, inputs = found["configs"]
    assert hyperparameters == {"lr": 0.1, "sagemaker_s3_output": "s3://bucket/out", "sagemaker_program": "train.py"}
    assert (resources["hosts"], list(inputs)) == (["algo-1"], ["train"])
    assert found["channel"] == str(tree.paths.data / "train")
    assert found["split"] == [{"sagemaker_a": 1, "c": 3}, {"b": 2}]
    assert (found["made"], found["program"]) == ({"SM_B": "[1]", "SM_C": ""}, "SAGEMAKER_PROGRAM")
    *absent, attribute, own = found["errors"]
    for text, name in zip(
        absent,
        (
            "sagemaker_training.entry_point.run",
            "sagemaker_containers.entry_point.run",
            "sagemaker_containers.beta.framework.worker.Response",
            "sagemaker_inference.encoder.encode",
        ),
        strict=True,
    ):
        assert text.startswith(f"{name} is no part of byo-container's stand-in for {name.partition('.')[0]}, which has")
    assert attribute.startswith("Environment has no attribute 'nothing'; it has additional_framework_parameters, ")
    assert own == "what is wrong"


@without_toolkits
def test_the_modules_have_the_toolkits_names_and_constants(tmp_path: Path) -> None:
    code = """
import importlib, json
print(json.dumps({
    name: {key: None if callable(value) else value for key, value in vars(module).items() if not key.startswith("__")}
    for name in %r for module in [importlib.import_module("sagemaker_training." + name)]
}))"""
    found = json.loads(python(code % list(TOOLKIT), tmp_path, SAGEMAKER_BASE_DIR="ROOT"))
    for module, names in TOOLKIT.items():
        expected = {name: value for name, value in names.items() if name not in LACKING.get(module, ())}
        expected |= {"Environment": None} if "Environment" in expected else {}
        assert found[module].keys() == expected.keys(), module
        for name, value in expected.items():
            same = (
                sorted(found[module][name]) == sorted(value)
                if isinstance(value, list)
                else found[module][name] == value
            )
            assert same, f"{module}.{name} is {found[module][name]!r}"


@without_toolkits
def test_an_environment_has_the_toolkits_attributes(tmp_path: Path) -> None:
    code = """
import json
from sagemaker_training.environment import Environment
job = Environment()
print(json.dumps({name: not callable(getattr(job, name)) and job[name] for name in %r}))"""
    lacking = "get_distribution_instance_groups_from_resource_config"
    names = [name for name in TOOLKIT["environment"]["Environment"] if name != lacking]
    cases = json.loads(Path(__file__).with_name("toolkit_facts.json").read_text(encoding="utf-8"))
    of_the_machine = {"num_cpus": 1, "num_gpus": 0, "num_neurons": 0}
    environment = cases[0]["facts"]["training_env"] | of_the_machine
    found = json.loads(python(code % names, tmp_path, SM_TRAINING_ENV=json.dumps(environment)))
    assert {name: value for name, value in found.items() if name in environment} == environment


@without_toolkits
def test_toolkit_stand_in_outside_a_job_says_what_is_missing(tmp_path: Path) -> None:
    code = """
from sagemaker_training.environment import Environment
for arguments in ({}, {"hyperparameters": {"a": 1}}):
    try: Environment(**arguments)
    except Exception as error: print(type(error).__name__, error)
"""
    first, second = python(code, tmp_path).splitlines()
    assert first == "RuntimeError the variable SM_TRAINING_ENV is not set, which `train` gives to training scripts"
    assert second.startswith("NotImplementedError byo-container's stand-in for Environment describes the job itself")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (
            {"sagemaker_training/__init__.py": "who = 'real'", "sagemaker_training/environment.py": "who = 'real'"},
            "real",
        ),
        ({"sagemaker_training/deep/environment.py": ""}, "stand-in"),
        ({"sagemaker_training.py": "import none_such"}, "ModuleNotFoundError: No module named 'none_such'"),
        ({}, "stand-in"),
    ],
    ids=["package", "folder", "broken", "none"],
)
def test_installed_toolkit_takes_precedence_over_the_stand_in(
    tmp_path: Path, files: dict[str, str], found: str
) -> None:
    for name, text in files.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = f"""
import sys
sys.path.append({str(tmp_path / "site")!r})
try:
    from sagemaker_training import environment
    import sagemaker_training
    sagemaker_training.environment
    print(vars(environment).get("who", "stand-in"))
except ModuleNotFoundError as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""
    assert python(code, tmp_path) == found


def python(code: str, folder: Path, **environ: str) -> str:
    """What a Python prints that has FOLDER on its path as scripts have."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(FOLDER), **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_script_imports_by_the_names_of_older_releases(ml: MakeTree) -> None:
    code = """
import os
from container.checkpoints import Checkpoints
from container.failure import JobError
from container.progress import say
import byo_container
assert Checkpoints is byo_container.Checkpoints
say("from an old name")
raise JobError("what is wrong")
"""
    done = ml(code={"train.py": code}).train()
    assert "from an old name" in done.out
    assert done.err.count("is an old name and will go away") == 1
    assert "what is wrong" in (done.failure or "")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"own/container/__init__.py": "", "own/container/mine.py": "OWN = 1"}, "1 False"),
        ({"own/container/mine.py": "OWN = 2"}, "2 False"),  # a namespace package
        ({"own/container.py": "from types import SimpleNamespace\nmine = SimpleNamespace(OWN=3)"}, "3 False"),
        ({}, "ModuleNotFoundError: No module named 'container.mine'"),
    ],
    ids=["package", "folder", "module", "none"],
)
def test_a_scripts_own_package_comes_before_the_names_of_older_releases(
    tmp_path: Path, files: dict[str, str], found: str
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = f"""
import sys
sys.path.append({str(tmp_path / "own")!r})
try:
    import container
    if not hasattr(container, "mine"):
        import container.mine
    print(container.mine.OWN, "byo_container" in sys.modules)
except ModuleNotFoundError as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""
    assert python(code, tmp_path) == found


def test_another_python_has_no_names_of_older_releases(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["byo_container"] = None  # as where it is not installed
try:
    import container
except ModuleNotFoundError as error:
    print(error, error.name)
"""
    assert python(code, tmp_path) == "No module named 'container' container"
