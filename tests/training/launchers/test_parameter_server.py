"""Whether a program uses ParameterServerStrategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from byo_container.training.launchers.parameter_server import find_parameter_server
from byo_container.training.program_files import program_of
from tests.support.tree import write_files

USES = "import tensorflow as tf\n\nstrategy = tf.distribute.ParameterServerStrategy(resolver)\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"train.py": USES}, ("train.py", 3)),
        ({"train.py": "s = tf.distribute.experimental.ParameterServerStrategy()"}, ("train.py", 1)),
        ({"train.py": "from x import ParameterServerStrategyV2 as S\n\ndef f():\n    return S()"}, ("train.py", 4)),
        ({"train.py": "from tensorflow.distribute import *\nParameterServerStrategy()"}, ("train.py", 2)),
        ({"train.py": "import strategies", "strategies.py": USES}, ("strategies.py", 3)),
        ({"train.py": "def f():\n    from a.b import c", "a/b/c.py": USES}, ("a/b/c.py", 3)),
        ({"train.py": "from a import b", "a/__init__.py": "from .c import d", "a/c.py": USES}, ("a/c.py", 3)),
        ({"train.py": "import a.b", "a/b/__init__.py": "from .. import c", "a/c.py": USES}, ("a/c.py", 3)),
        ({"train.py": "import a", "a.py": "import b, train", "b.py": f"import a\n{USES}"}, ("b.py", 4)),
        # Comments, texts, and what is imported without being used.
        ({"train.py": "# not ParameterServerStrategy"}, None),
        ({"train.py": '"""ParameterServerStrategy"""\nprint("ParameterServerStrategy")'}, None),
        ({"train.py": "from tensorflow.distribute import ParameterServerStrategy"}, None),
        ({"train.py": "class ParameterServerStrategy: pass"}, None),
        ({"train.py": "print(1)", "other.py": USES}, None),
        ({"train.py": "import other.part", "other/__init__.py": "", "other/unused.py": USES}, None),
        # What Python itself will complain of.
        ({"train.py": "import torn", "torn.py": f"def\n{USES}"}, None),
        ({"train.py": "import nowhere\n\0"}, None),
        ({}, None),
    ],
)
def test_reference_to_the_strategy(tmp_path: Path, files: dict[str, str], found: tuple[str, int] | None) -> None:
    write_files(tmp_path, files)
    reference = find_parameter_server(tmp_path / "train.py", tmp_path)
    assert (reference and (str(reference.path.relative_to(tmp_path)), reference.line)) == found


@pytest.mark.parametrize(
    ("files", "words", "program"),
    [
        ([], ["train.py", "--lr", "1"], "train.py"),
        (["package/train.py"], ["-m", "package.train"], "package/train.py"),
        (["src/package/train.py"], ["-m", "package.train"], "src/package/train.py"),
        (["package/__main__.py"], ["-m", "package"], "package/__main__.py"),
        ([], ["-m", "elsewhere.train"], "train.py"),
    ],
)
def test_program_file_by_python_arguments(tmp_path: Path, files: Sequence[str], words: list[str], program: str) -> None:
    write_files(tmp_path, dict.fromkeys(files, ""))
    assert program_of(words, tmp_path) == tmp_path / program
