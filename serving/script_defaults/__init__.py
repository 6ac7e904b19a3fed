"""What holds for the functions that a user's inference.py leaves out.

Each of SageMaker's own containers (scikit-learn's, XGBoost's, PyTorch's, Hugging Face's, and the inference toolkit that
all of them stand on) has defaults of its own. `choose` decides whose hold for a script; a module each has them.
"""

from __future__ import annotations

import importlib

from serving.script_defaults.defaults import Defaults


def load(name: str) -> Defaults:
    """The defaults of a family, one of choose.FAMILIES."""
    found = importlib.import_module(f"{__name__}.{name}").DEFAULTS
    assert isinstance(found, Defaults)
    return found
