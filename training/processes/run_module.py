"""`python -P training/processes/run_module.py package.module:function`: a framework module, which
SAGEMAKER_TRAINING_MODULE names
and which takes the place of script mode: it fetches, installs and starts the user's code itself.

Started as a file and free of our own imports, because it runs code whose folders may be called like ours.
"""

from __future__ import annotations

import difflib
import importlib
import sys


def main(target: str) -> None:
    """Calls the function. Ends the process with an error where there is none."""
    sys.argv[1:] = []
    module_name, _, function_name = target.partition(":")
    asked = f"error: SAGEMAKER_TRAINING_MODULE is {target}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and one that it needs is not
        sys.exit(f"{asked}, and there is no module {error.name!r} in {', '.join(sys.path)}")
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [name for name, thing in vars(module).items() if callable(thing)]
        close = difflib.get_close_matches(function_name, known, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        sys.exit(f"{asked}, and {module.__file__} has no function {function_name!r}{meant}")
    function()


if __name__ == "__main__":
    main(sys.argv[1])
