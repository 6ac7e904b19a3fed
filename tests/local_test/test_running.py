"""Runs hosts until all have ended."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own, for it ends whatever is below it.
ONE_FAILS = """
import sys
from pathlib import Path
from byo_container.container.process.child import Command
from byo_container.container.process.supervisor import Supervisor
from local_test import running
from local_test.hosts import Host
from local_test.screen import Screen
running.FAILURE_GRACE_S = 1
here = Path("/")
hosts = [Host("a", here, Command(["sleep", "60"], "a")), Host("b", here, Command(["sh", "-c", "echo b; exit 9"], "b"))]
screen = Screen(["a", "b"], sys.stdout.buffer, False)
def terminate(child):
    child.signal_leader(15)
    return True
with Supervisor(running.STOP_SIGNALS) as supervisor:
    ended = running.run(hosts, terminate, supervisor, screen)
print([(each.host.name, each.status) for each in ended])
"""


def test_other_hosts_are_stopped_after_a_failure() -> None:
    """As when one container of two does not start."""
    done = subprocess.run([sys.executable, "-c", ONE_FAILS], capture_output=True, text=True, timeout=20)
    assert done.stdout == "b | b\n[('b', 9), ('a', 143)]\n", done.stderr
    assert "stopping the other hosts, which do not know that b has failed" in done.stderr
