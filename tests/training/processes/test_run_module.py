"""SAGEMAKER_TRAINING_MODULE: a framework of the image's own takes the place of script mode."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.tree import Finished, Tree, write_files

MakeTree = Callable[..., Tree]

FRAMEWORK = """
import json, os, sys

def train():
    with open(os.environ["SM_MODEL_DIR"] + "/seen.json", "w") as stream:
        json.dump({"argv": sys.argv, "name": __name__, "cwd": os.getcwd(), "env": dict(os.environ)}, stream)

def fail():
    raise ValueError("torn")

def leave():
    sys.exit(7)

settings = {}
"""


def train(tree: Tree, target: str, **environ: str) -> Finished:
    """`train` in an image that has the package `frameworks`."""
    write_files(tree.root / "site/frameworks", {"__init__.py": "", "keras.py": FRAMEWORK, "needy.py": "import nowhere"})
    return tree.train(SAGEMAKER_TRAINING_MODULE=target, PYTHONPATH=str(tree.root / "site"), **environ)


def test_function_is_called_with_the_variables_of_a_script(ml: MakeTree) -> None:
    given = {"epochs": "3", "sagemaker_program": '"my.py"', "sagemaker_submit_directory": '"s3://bucket/code.tar.gz"'}
    tree = ml(hyperparameters=given, channels={"train": {}})
    done = train(tree, "frameworks.keras:train")
    assert (done.status, done.failure) == (0, None), done.err
    seen = json.loads((tree.paths.model / "seen.json").read_text())
    assert seen["argv"][1:] == []
    assert (seen["name"], seen["cwd"]) == ("frameworks.keras", str(tree.root))
    expected = {
        "SM_FRAMEWORK_MODULE": "frameworks.keras:train",
        "SM_USER_ENTRY_POINT": "my.py",
        "SM_MODULE_DIR": "s3://bucket/code.tar.gz",
        "SM_HP_EPOCHS": "3",
        "SM_CHANNEL_TRAIN": str(tree.paths.data / "train"),
    }
    assert {name: seen["env"][name] for name in expected} == expected


def test_framework_module_goes_before_a_program(ml: MakeTree) -> None:
    code = {"train.py": "raise SystemExit('not I')"}
    tree = ml(hyperparameters={"model_handler": "news"}, code=code)
    done = train(tree, "frameworks.keras:train", SAGEMAKER_PROGRAM="")
    assert done.status == 0, done.err
    env = json.loads((tree.paths.model / "seen.json").read_text())["env"]
    assert env["SM_USER_ENTRY_POINT"] == env["SM_MODULE_NAME"] == ""


def test_framework_module_may_be_in_a_package_named_like_ours(ml: MakeTree) -> None:
    tree = ml(code={"training/keras.py": FRAMEWORK, "container/__init__.py": "raise SystemExit('the wrong room')"})
    done = train(tree, "training.keras:train")
    assert done.status == 0, done.err


NOT = "SAGEMAKER_TRAINING_MODULE is {}, and "
FAULTS = {
    "frameworks.keras:fail": (1, "ValueError: torn\n  in File "),
    "frameworks.keras:leave": (7, "frameworks.keras:leave ended with status 7"),
    "nowhere.at.all:main": (1, NOT + "there is no module 'nowhere' in "),
    "frameworks.cntk:main": (1, NOT + "there is no module 'frameworks.cntk' in "),
    "frameworks.keras:trian": (1, NOT + "{site}/frameworks/keras.py has no function 'trian'; did you mean 'train'?"),
    "frameworks.keras:settings": (1, NOT + "{site}/frameworks/keras.py has no function 'settings'"),
    "frameworks.needy:main": (1, "ModuleNotFoundError: No module named 'nowhere'\n  in File \"{site}/frameworks/needy"),
    "frameworks.keras": (1, "is 'frameworks.keras'; it must be package.module:function"),
    "a:b:c": (1, "is 'a:b:c'; it must be package.module:function"),
}


@pytest.mark.parametrize("target", FAULTS)
def test_missing_module_or_function_is_explained(ml: MakeTree, target: str) -> None:
    tree = ml()
    done = train(tree, target)
    status, said = FAULTS[target]
    assert done.status == status
    assert said.replace("{site}", str(tree.root / "site")).replace("{}", target) in done.reason
