"""SIGTERM as a flag."""

from __future__ import annotations

import os
import signal

from byo_container.container.process.stop_flag import StopFlag


def test_stop_flag_is_set_by_sigterm_and_restores_the_handler() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopFlag() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before
