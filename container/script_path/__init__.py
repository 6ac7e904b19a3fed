"""Stand-ins for packages of SageMaker's toolkits, at the end of the PYTHONPATH of training scripts.

Scripts for SageMaker's own containers import a few names from the toolkit that starts them there:

    from sagemaker_training import environment
    env = environment.Environment()

And `container.py` gives scripts the import paths of older releases, as handlers have them.

The files in FOLDER run in the script's process. Its Python may be another one that does not have byo-container (a
run.sh may start that of another environment): so they import each other and the standard library only, and run on
Python 3.9 and later; `container` is then not found. FOLDER is never on the path of `train` itself or of `serve`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
