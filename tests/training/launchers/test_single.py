"""The default launcher."""

from __future__ import annotations

import pytest

from byo_container.training.launchers import single
from tests.training.support.jobs import (
    ENV,
    EVERY_HOST,
    PROGRAM,
    SEVERAL_HOSTS,
    SINGLE_HOST,
    SIZES,
    context,
    job,
    only,
)


@pytest.mark.parametrize(("hosts", "gpus"), SIZES)
def test_single_runs_the_program_itself(hosts: int, gpus: int) -> None:
    command = only(single.launch(job(hosts), PROGRAM, context(gpus)))
    assert command.argv == PROGRAM.argv
    assert command.env == EVERY_HOST | (SEVERAL_HOSTS if hosts > 1 else SINGLE_HOST) | ENV
    assert (command.cwd, command.capture, command.spared_on_stop) == (PROGRAM.cwd, True, False)


def test_unknown_interface_is_not_set() -> None:
    env = only(single.launch(job(2), PROGRAM, context(interface=None))).env
    assert not any(name.endswith("IFNAME") for name in env)
