"""`python -P -m byo_container.training.processes.run_module package.module:function`: calls the function of a framework
module, which SAGEMAKER_TRAINING_MODULE names. It takes the place of script mode: it fetches, installs and starts the
user's code itself.
"""

from __future__ import annotations

import importlib
import sys

from byo_container.container.suggest import closest


def main(target: str) -> None:
    """Calls the function. Ends the process with an error where there is no such module or function."""
    sys.argv[1:] = []
    module_name, _, function_name = target.partition(":")
    setting = f"error: SAGEMAKER_TRAINING_MODULE is {target}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module exists, and one that it imports does not
        sys.exit(f"{setting}, and there is no module {error.name!r} in {', '.join(sys.path)}")
    function = getattr(module, function_name, None)
    if not callable(function):
        match = closest(function_name, [name for name, value in vars(module).items() if callable(value)])
        suggestion = f"; did you mean {match!r}?" if match else ""
        sys.exit(f"{setting}, and {module.__file__} has no function {function_name!r}{suggestion}")
    function()


if __name__ == "__main__":
    main(sys.argv[1])
