"""The two Dockerfiles, what choose.py puts into an image, and the versions that images get."""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[3]
CHOOSE = REPOSITORY / "tools/image/choose.py"
PROJECT = """
[project]
name = "byo-container"
dependencies = ["flask>=3.1,<4"]
[project.optional-dependencies]
news = ["byo-container[report,s3]", "keras>=3.15", "tensorflow-cpu>=2.21; platform_machine == 'x86_64'"]
report = ["pygal>=3"]
s3 = ["boto3>=1.44", "flask>=3.1,<4"]
torch = ["torch>=2.13,<3"]
tensorflow = ["numpy>=2", "tensorflow-cpu>=2.21; platform_machine == 'x86_64'"]
text_classification = ["torch>=2.13,<3"]
dev = ["pytest"]
[project.entry-points."byo_container.handlers"]
news = "byo_container.handlers.news:NewsClassifier"
shout = "byo_container.handlers.shout:Shout"
[project.entry-points."byo_container.launchers"]
news = "single"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "constraints.txt").write_text("tensorflow==2.21.0\ntf_keras==2.21.0\n")
    for name in ("news", "shout"):
        (tmp_path / "handlers" / name).mkdir(parents=True)
    return tmp_path


def choose(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Without the packages that this machine happens to have."""
    return subprocess.run([sys.executable, "-S", CHOOSE, *words], capture_output=True, text=True)


def wanted(source: Path, handlers: str, extras: str, machine: str = "cpu") -> list[str]:
    done = choose("requirements", handlers, extras, machine, source, source)
    assert done.returncode == 0, done.stderr
    return (source / "requirements.txt").read_text().splitlines()


def test_requirements_follow_from_pyproject_and_included_extras(source: Path) -> None:
    assert wanted(source, "none", "") == ["flask>=3.1,<4"]
    assert wanted(source, "none", "s3,torch") == ["flask>=3.1,<4", "boto3>=1.44", "torch>=2.13,<3"]
    included = ["pygal>=3", "boto3>=1.44"]
    news = ["flask>=3.1,<4", *included, "keras>=3.15", "tensorflow-cpu>=2.21; platform_machine == 'x86_64'"]
    assert wanted(source, "news", "") == news
    news[-1] = news[-1].replace("tensorflow-cpu", "tensorflow[and-cuda]")
    assert wanted(source, "news", "", "gpu") == news


@pytest.mark.parametrize(
    ("handlers", "extras", "packages"),
    [("none", "torch", []), ("none", "text_classification", ["g++"]), ("none", "s3,text-classification", ["g++"])],
)
def test_compiler_where_models_are_compiled(source: Path, handlers: str, extras: str, packages: list[str]) -> None:
    wanted(source, handlers, extras)
    assert (source / "debian.txt").read_text().splitlines() == packages


def test_framework_of_the_base_image_is_not_installed_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_base = tmp_path / "site/torch-2.6.0+cu124.dist-info"
    of_the_base.mkdir(parents=True)
    (of_the_base / "METADATA").write_text("Name: torch\nVersion: 2.6.0+cu124\n")
    monkeypatch.setenv("PYTHONPATH", str(of_the_base.parent))
    assert wanted(source, "none", "torch") == ["flask>=3.1,<4"]


@pytest.mark.parametrize(
    ("of_the_base", "line"),
    [("", "tf_keras==2.21.0"), ("tensorflow 2.18.1", "tf-keras==2.18.*"), ("tf_keras 2.18.0", "")],
)
def test_tf_keras_has_the_version_of_tensorflow(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_the_base: str, line: str
) -> None:
    if of_the_base:
        name, version = of_the_base.split()
        metadata = tmp_path / f"site/{name}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        monkeypatch.setenv("PYTHONPATH", str(metadata.parent))
    wanted(source, "none", "tensorflow")
    assert (source / "no_deps.txt").read_text().splitlines() == [line] * bool(line)
    wanted(source, "none", "torch")
    assert not (source / "no_deps.txt").read_text()


@pytest.mark.parametrize(
    ("handlers", "extras", "said"),
    [
        ("nwes", "", "HANDLERS names 'nwes', which is no handler of this byo-container; known: news; or `none`"),
        ("shout", "", "HANDLERS names 'shout', which is no handler"),  # it is there, and has no extra yet
        ("", "", "HANDLERS is empty; it must be `none`, or of news with commas between them"),
        (
            "news",
            "cuda",
            "EXTRAS names 'cuda', which is no extra of this byo-container; "
            "known: news, report, s3, tensorflow, text_classification, torch",
        ),
        ("none", "dev", "EXTRAS names 'dev'"),
    ],
)
def test_unknown_handlers_and_extras_are_rejected(source: Path, handlers: str, extras: str, said: str) -> None:
    done = choose("requirements", handlers, extras, "cpu", source, source)
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(("handlers", "left"), [("none", []), ("news", ["news"])])
def test_prune_removes_the_other_handlers(source: Path, handlers: str, left: list[str]) -> None:
    subprocess.run([sys.executable, CHOOSE, "prune", handlers, source], check=True)
    points = tomllib.loads((source / "pyproject.toml").read_text())["project"]["entry-points"]
    assert list(points["byo_container.handlers"]) == list(points["byo_container.launchers"]) == left
    assert [path.name for path in (source / "handlers").iterdir()] == left
    assert "keras" in (source / "pyproject.toml").read_text()  # the extra of the same name is none


def test_dockerfiles_differ_only_in_what_a_gpu_needs() -> None:
    cpu, gpu = ((REPOSITORY / f"Dockerfile.{kind}").read_text().splitlines() for kind in ("cpu", "gpu"))
    lines = [line for line in difflib.ndiff(cpu, gpu) if line[0] in "+-" and line[2:3] != "#"]
    changed = [line for line in lines if not re.search(r"TORCH_INDEX|NVIDIA|(choose\.py|install\.sh).* [cg]pu", line)]
    assert not changed


def test_image_label_has_the_version_of_the_package() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert f"ARG VERSION={version}\n" in (REPOSITORY / "Dockerfile.cpu").read_text()


def requirements_of_pyproject() -> list[Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != project["name"]]


@pytest.mark.parametrize("requirement", requirements_of_pyproject(), ids=str)
def test_every_requirement_has_a_pin_in_its_range(requirement: Requirement) -> None:
    """Images and .venv are installed by constraints.txt, so that a package without a pin would come in any version."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    (pin,) = [pin for pin in pins if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert exact.version in requirement.specifier
