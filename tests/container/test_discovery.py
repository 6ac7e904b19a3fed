"""Handlers: found in three ways, remembered beside the model, their code kept with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from byo_container.container import discovery
from byo_container.container.discovery import HandlerReference, InferenceScript, find_for_serving, find_for_training
from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from tests.support.tree import Tree, write_files

MakeTree = Callable[..., Tree]


@pytest.fixture(autouse=True)
def own_imports() -> Iterator[None]:
    """A test's modules are forgotten when it ends."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(**handlers: str) -> None:
        monkeypatch.setattr(discovery, "installed", lambda: handlers)

    return install


def found_for_training(tree: Tree, **environ: str) -> HandlerReference:
    return find_for_training(TrainingJob.read(tree.paths), environ)


def test_the_hyperparameter_wins_over_the_variable(ml: MakeTree) -> None:
    tree = ml(hyperparameters={"model_handler": '"mine:A"'})
    assert found_for_training(tree, MODEL_HANDLER="mine:B").target == "mine:A"
    tree = ml(hyperparameters={})
    found = found_for_training(tree, MODEL_HANDLER="mine:B")
    assert (found.target, found.source) == ("mine:B", "the environment variable MODEL_HANDLER")


def test_an_installed_handler_is_found_by_its_name(ml: MakeTree) -> None:
    assert found_for_training(ml(), MODEL_HANDLER="news").target == "byo_container.handlers.news:NewsClassifier"


def test_an_installed_handler_names_its_launcher() -> None:
    assert discovery.launcher_of("byo_container.handlers.translation:Translation") == "torchrun"
    assert discovery.launcher_of("byo_container.handlers.news:NewsClassifier") is None
    assert discovery.launcher_of("mine:Mine") is None


def test_an_unknown_name_is_refused_with_the_nearest(ml: MakeTree, installed: Callable[..., None]) -> None:
    installed(news="a:B", translation="c:D")
    with pytest.raises(JobError, match=r"'new', which is not installed; did you mean 'news'\? known are: news, tran"):
        found_for_training(ml(), MODEL_HANDLER="new")


def test_a_class_after_a_dot_is_refused_with_the_colon_that_is_missing(ml: MakeTree) -> None:
    with pytest.raises(
        JobError, match=r"'shout.Shout', which is not installed; .*; a class is written .*, shout:Shout"
    ):
        found_for_training(ml(), MODEL_HANDLER="shout.Shout")


def test_a_file_in_place_of_a_module_is_refused_with_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {"shout.py": "class Shout: ..."})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(JobError, match=r"no module 'shout.py'; it is named without .py, shout:Shout; looked in"):
        HandlerReference("shout.py:Shout", "me").load()


@pytest.mark.parametrize(
    ("names", "target"), [({"only": "a:B"}, "a:B"), ({}, None), ({"one": "a:B", "two": "c:D"}, None)]
)
def test_only_installed_handler_is_the_default(
    ml: MakeTree, installed: Callable[..., None], names: dict[str, str], target: str | None
) -> None:
    installed(**names)
    if target:
        assert found_for_training(ml()).target == target
        assert find_for_serving(ml().paths, {}) == HandlerReference(target, "the only installed handler, 'only',")
    else:
        with pytest.raises(JobError, match=f"set the hyperparameter.*installed are: {', '.join(names) or 'none'}"):
            found_for_training(ml())


@pytest.mark.parametrize("name", [":", "mine:", ":Mine", ".mine:Mine", "mine:Mine:Too", "my mine:Mine", "m..n:Mine"])
def test_a_malformed_reference_is_refused(ml: MakeTree, name: str) -> None:
    with pytest.raises(JobError, match=r"must be a handler's name or package\.module:Class"):
        found_for_training(ml(), MODEL_HANDLER=name)


CODE = {
    "mine.py": "class Mine:\n    pass\nother = 3\n",
    "needy.py": "import there_is_no_such_module\n",
    "broken.py": "def (:\n",
}


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("nowhere:Mine", JobError, "me asks for nowhere:Mine, but there is no module 'nowhere'; looked in "),
        ("mine.sub:Mine", JobError, "no module 'mine.sub'"),
        ("mine:Mime", JobError, r"mine\.py has no class 'Mime'; did you mean 'Mine'\? known are: Mine"),
        ("mine:other", JobError, "has no class 'other'"),
        ("needy:Mine", ModuleNotFoundError, "there_is_no_such_module"),
        ("broken:Mine", SyntaxError, "invalid syntax"),
    ],
)
def test_class_that_cannot_be_loaded(ml: MakeTree, target: str, error: type[Exception], message: str) -> None:
    discovery.put_on_path([ml(code=CODE).paths.code])
    assert HandlerReference("mine:Mine", "me").load().__name__ == "Mine"
    with pytest.raises(error, match=message):
        HandlerReference(target, "me").load()


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("{", "line 1, column 2"),
        ("{}", '"handler" should be a text'),
        ('{"handler": 3}', '"handler" should be a text'),
        ('{"handler": "gone"}', "'gone', which is not installed"),
    ],
)
def test_a_damaged_manifest_is_named(ml: MakeTree, manifest: str, message: str) -> None:
    tree = ml()
    write_files(tree.paths.model, {"handler.json": manifest})
    with pytest.raises(JobError) as refused:
        find_for_serving(tree.paths, {})
    assert message in str(refused.value)
    assert str(tree.paths.model / "handler.json") in str(refused.value)


@pytest.mark.parametrize(
    ("files", "environ", "found"),
    [
        ({"model/code/inference.py": "", "code/inference.py": ""}, {}, "model/code/inference.py"),
        ({"code/inference.py": ""}, {"MODEL_HANDLER": "mine:Mine"}, "code/inference.py"),
        ({"model/inference.py": ""}, {}, "model/inference.py"),
        ({"code/serve_it.py": ""}, {"SAGEMAKER_PROGRAM": "serve_it.py"}, "code/serve_it.py"),
        ({"other/inference.py": ""}, {"SAGEMAKER_SUBMIT_DIRECTORY": "file://{root}/other"}, "other/inference.py"),
        (
            {"model/code/inference.py": "", "other/inference.py": ""},
            {"SAGEMAKER_SUBMIT_DIRECTORY": "{root}/other"},
            "model/code/inference.py",
        ),
    ],
)
def test_an_inference_script_is_found(ml: MakeTree, files: dict[str, str], environ: dict[str, str], found: str) -> None:
    tree = ml()
    write_files(tree.root, files)
    environ = {name: value.format(root=tree.root) for name, value in environ.items()}
    assert find_for_serving(tree.paths, environ) == InferenceScript(tree.root / found)


PRETRAINED = {"model/config.json": "{}", "model/model.safetensors": ""}


@pytest.mark.parametrize(
    ("files", "environ", "names"),
    [
        ({"model/model.pt": "", "model/vocabulary.txt": ""}, {}, {}),
        ({"model/net.pth": ""}, {}, {"one": "a:B", "two": "c:D"}),
        (PRETRAINED, {}, {}),
        ({"model/1/saved_model.pb": ""}, {}, {}),
        ({"model/config.json": "{}"}, {"HF_TASK": "fill-mask"}, {"only": "a:B"}),
    ],
)
def test_some_models_need_no_code(
    ml: MakeTree,
    installed: Callable[..., None],
    files: dict[str, str],
    environ: dict[str, str],
    names: dict[str, str],
) -> None:
    installed(**names)
    tree = ml()
    write_files(tree.root, files)
    assert find_for_serving(tree.paths, environ) == InferenceScript(None)


@pytest.mark.parametrize(
    ("files", "environ", "target"),
    [
        ({"model/model.pt": "", "model/handler.json": '{"handler": "a:B"}'}, {}, "a:B"),
        ({"model/model.pt": ""}, {"MODEL_HANDLER": "c:D"}, "c:D"),
        (PRETRAINED, {}, "e:F"),  # the only handler that is installed
    ],
)
def test_a_handler_goes_before_a_models_files(
    ml: MakeTree, installed: Callable[..., None], files: dict[str, str], environ: dict[str, str], target: str
) -> None:
    installed(only="e:F")
    tree = ml()
    write_files(tree.root, files)
    assert find_for_serving(tree.paths, environ).target == target  # type: ignore[union-attr]


@pytest.mark.parametrize("files", [{"model/a.pt": "", "model/b.pth": ""}, {"model/config.json": "{}"}])
def test_a_model_that_needs_code_says_so(ml: MakeTree, installed: Callable[..., None], files: dict[str, str]) -> None:
    installed()
    tree = ml()
    write_files(tree.root, files)
    with pytest.raises(JobError, match=r"no code/inference\.py, and neither TorchScript"):
        find_for_serving(tree.paths, {})


@pytest.mark.parametrize(
    ("file", "program", "module"),
    [
        ("serve_it.py", "serve_it", ""),
        ("serving_code/entry.py", "serving_code.entry", "serving_code.entry"),
        ("serving_code/entry.py", "serving_code/entry.py", ""),
        ("serving_code/entry/__init__.py", "serving_code.entry", "serving_code.entry"),
        ("inference/__init__.py", "", "inference"),
        ("inference/__init__.py", "inference.py", "inference"),
        ("mine/__init__.py", "mine", "mine"),
    ],
)
def test_a_script_is_found_as_the_toolkits_import_it(ml: MakeTree, file: str, program: str, module: str) -> None:
    tree = ml(code={file: "", "serving_code/other.py": ""})
    found = find_for_serving(tree.paths, {"SAGEMAKER_PROGRAM": program})
    assert found == InferenceScript(tree.paths.code / file, module)


def test_a_named_inference_script_that_is_missing_is_refused(ml: MakeTree) -> None:
    tree = ml(code={"x.py": ""})
    with pytest.raises(JobError, match=r"SAGEMAKER_PROGRAM names 'serve_it\.py', which is not in .*/code"):
        find_for_serving(tree.paths, {"SAGEMAKER_PROGRAM": "serve_it.py"})


@pytest.mark.parametrize("program", ["../secret.py", "link.py", "/etc/hostname"])
def test_an_inference_script_outside_its_folder_is_not_read(ml: MakeTree, program: str) -> None:
    tree: Any = ml(code={"x.py": ""})
    write_files(tree.root, {"secret.py": ""})
    (tree.paths.code / "link.py").symlink_to(tree.root / "secret.py")
    with pytest.raises(JobError, match="which is not in"):
        find_for_serving(tree.paths, {"SAGEMAKER_PROGRAM": program})


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, "/a:/b"), ("", "/a:/b"), ("/x:/y", "/a:/b:/x:/y"), ("/a:/b:/x", "/a:/b:/x"), ("/x:/b", "/a:/b:/x")],
)
def test_subprocesses_find_the_users_code_first(before: str | None, after: str) -> None:
    environ = {} if before is None else {"PYTHONPATH": before}
    discovery.export_path([Path("/a"), Path("/b")], environ)
    discovery.export_path([], environ)
    assert environ == {"PYTHONPATH": after}


def test_classes_that_a_module_only_imports_are_not_suggested(ml: MakeTree) -> None:
    code = "from byo_container import Handler\nclass Mine(Handler):\n    pass\n"
    discovery.put_on_path([ml(code={"derived.py": code}).paths.code])
    with pytest.raises(JobError, match=r"did you mean 'Mine'\? known are: Mine$"):
        HandlerReference("derived:Mime", "me").load()
