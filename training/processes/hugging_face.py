"""Runs an unmodified script that was written for Transformers 4, with the names and arguments it knows:

    python -P -m byo_container.training.processes.hugging_face train.py --epochs 4
    python -P -m byo_container.training.processes.hugging_face -m package.train --epochs 4
    python -P -m byo_container.training.processes.hugging_face --call-mp-fn train.py --epochs 4

With --call-mp-fn the script is imported and its `_mp_fn` called with the local rank, as the launcher of SageMaker
Training Compiler did.

What training/hugging_face/ changes, it changes when the script imports it, where the installed release lacks it alone,
and says so in the log. A script for the installed release runs as it would without.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from byo_container.container.log import configure
from byo_container.training.after_import import AfterImport
from byo_container.training.hugging_face import changes
from byo_container.training.hugging_face.command import CALLS_ENTRY, ENTRY
from byo_container.training.hugging_face.evaluate_package import StandIn
from byo_container.training.user_script import put_on_path, run


def main(arguments: Sequence[str]) -> None:
    configure()
    sys.meta_path.insert(0, AfterImport(changes.BY_MODULE))
    sys.meta_path.append(StandIn())
    if arguments[0] == CALLS_ENTRY:
        call_entry(list(arguments[1:]))
    else:
        run(list(arguments))


def call_entry(script: list[str]) -> None:
    """Imports the script and calls its `_mp_fn`."""
    put_on_path(script)
    sys.argv = script[1:] if script[0] == "-m" else script
    name = script[1] if script[0] == "-m" else os.path.basename(script[0]).removesuffix(".py")
    module = importlib.import_module(name)
    getattr(module, ENTRY)(int(os.environ.get("LOCAL_RANK", 0)))


if __name__ == "__main__":
    main(sys.argv[1:])
