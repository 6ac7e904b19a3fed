"""What training scripts find at the end of their PYTHONPATH: stand-ins for packages of SageMaker's toolkits.

Scripts written for SageMaker's own containers import a few names of the toolkit that starts them there:

    from sagemaker_training import environment
    env = environment.Environment()

The files in FOLDER run in the script's own process, whose Python need not be ours and need not have byo-container (a
run.sh may start that of another environment): they import each other and the standard library only, and are written for
Python 3.9 and later. `train` itself and `serve` never have FOLDER on their path.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
