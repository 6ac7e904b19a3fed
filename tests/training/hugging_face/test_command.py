"""Which scripts are run by training/processes/hugging_face.py."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.training.hugging_face.command import PROCESS, adapted
from tests.support.tree import write_files
from tests.training.support.jobs import job

RUN = [sys.executable, "-P", *PROCESS]
XLA = {"sagemaker_pytorch_xla_multi_worker_enabled": "true"}
ENTRY = "def _mp_fn(index):\n    pass"


def adapt(tmp_path: Path, files: dict[str, str], argv: list[str], given: dict[str, Any]) -> list[str]:
    write_files(tmp_path / "code", files)
    of_folder = dataclasses.replace(job(**given), paths=Paths(tmp_path))
    return list(adapted(Command(argv, "train.py"), of_folder).argv)


@pytest.mark.parametrize(
    ("files", "given", "before"),
    [
        ({"train.py": "import torch\n# import transformers"}, {}, None),
        ({"train.py": "from transformers import Trainer"}, {}, RUN),
        ({"train.py": "def f():\n    import datasets.load"}, {}, RUN),
        ({"train.py": "import model", "model.py": "import transformers"}, {}, RUN),
        ({"train.py": "", "unused.py": "import transformers"}, {}, None),
        ({"train.py": "from .transformers import x"}, {}, None),
        ({"train.py": "def"}, {}, None),
        ({"train.py": ENTRY}, {}, None),
        ({"train.py": ENTRY}, XLA, [*RUN, "--call-mp-fn"]),
        ({"train.py": f"import transformers\n{ENTRY}"}, XLA, [*RUN, "--call-mp-fn"]),
        ({"train.py": "import transformers"}, XLA, RUN),
        ({"train.py": "import torch"}, XLA, None),
    ],
)
def test_scripts_that_import_transformers(
    tmp_path: Path, files: dict[str, str], given: dict[str, Any], before: list[str] | None
) -> None:
    words = ["train.py", "--lr", "1"]
    assert adapt(tmp_path, files, [sys.executable, *words], given) == [*(before or [sys.executable]), *words]


@pytest.mark.parametrize("argv", [["/bin/sh", "-c", "./run.sh"], [sys.executable, "-P", "-m", "a.module", "x"]])
def test_other_programs_stay_as_they_are(tmp_path: Path, argv: list[str]) -> None:
    assert adapt(tmp_path, {"run.sh": "import transformers"}, argv, {}) == argv


def test_module_of_a_package(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "package.train"]
    assert adapt(tmp_path, {"package/train.py": "import transformers"}, argv, {}) == [*RUN, *argv[1:]]
