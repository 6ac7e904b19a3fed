"""The commands `train` and `serve`, and `byo-container`, which runs one of them."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Opens /dev/null in place of stdin, stdout or stderr where these are closed. Otherwise a pipe or socket of ours
    would get the number, and receive what the training code prints."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def train() -> int:
    """The command `train`."""
    open_standard_streams()
    from byo_container.container.process import guardian

    guardian.watch_over_us()
    from byo_container.training.main import main

    return main(sys.argv[1:])


def serve() -> int:
    """The command `serve`."""
    open_standard_streams()
    from byo_container.serving.main import main

    return main(sys.argv[1:])


def main() -> int:
    """The command `byo-container`: runs our `train` or `serve`, as its first argument says, even where another package
    installs commands of these names. HELP says how it is called.

    Without an argument, which is how version 3 of the SDK starts training jobs in its local mode, the mounted files
    decide. The command then replaces this process, so that process 1 has its name. It is the first of that name on the
    PATH: perhaps a program of the user's, never one of another package."""
    if not sys.argv[1:]:
        from byo_container.container.source.console_scripts import shadowed

        command = default_command()
        if not shadowed([command]):
            os.execvp(command, [command])  # noqa: S606
        sys.argv.append(command)
    sys.argv = sys.argv[1:]
    command = sys.argv[0]
    if command in ("-h", "--help"):
        print(HELP)
        return 0
    if command not in COMMANDS:
        from byo_container.container.suggest import did_you_mean

        known = did_you_mean(command, COMMANDS)
        sys.exit(f"byo-container: there is no command {command!r}; {known}; see byo-container --help")
    return COMMANDS[command]()


def check() -> int:
    """The command `byo-container check`: fails unless a shell would start our `train` and `serve`. It belongs at the
    end of an image's build, since sagemaker-training and sagemaker-containers install commands of these names too."""
    from byo_container.container.source import console_scripts

    return console_scripts.check()


COMMANDS = {"train": train, "serve": serve, "check": check}
HELP = """Bring your own model: train and serve by Amazon SageMaker's container contract.

    byo-container train     trains what /opt/ml/input/config describes
    byo-container serve     answers /ping and /invocations with the model in /opt/ml/model
    byo-container check     fails unless the commands train and serve on the PATH are byo-container's
    byo-container           train where /opt/ml/input/config is mounted, else serve

`train` and `serve` are commands of their own, too; each has a --help."""


def default_command() -> str:
    """`train` where a job's configuration is mounted, as for training jobs only; else `serve`."""
    from byo_container.container.paths import Paths

    return "train" if Paths.from_environment().config.is_dir() else "serve"
