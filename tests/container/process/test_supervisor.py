"""Reaping and ending children."""

from __future__ import annotations

import subprocess
import sys

from tests.container.process.support import PRELUDE, supervise
from tests.support.processes import runs, wait_until


def test_zombies_are_reaped_and_orphans_are_ended() -> None:
    # Both double-fork: one grandchild ends at once, the other would sleep for a minute in a session of its own.
    done = supervise("""
        code = '''
        import os, time
        for sleep in (0, 60):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(sleep)
                os._exit(0)
            os.wait()
        time.sleep(1)
        '''
        with Supervisor() as supervisor:
            child = supervisor.start(python(__import__("textwrap").dedent(code)))
            print(supervisor.wait([child], 10), child.status)
            own = open(f"/proc/self/task/{os.getpid()}/children").read().split()
            print([pid for pid in own if open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"])
            print(len(list(descendants(os.getpid()))))
        print(len(list(descendants(os.getpid()))))
    """)
    assert done.stdout == "True 0\n[]\n1\n0\n"


def test_children_end_when_the_supervisor_is_killed() -> None:
    code = PRELUDE + 'with Supervisor() as s: print(s.start(python("import time; time.sleep(60)")).pid); s.poll(60)'
    process = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process, process.stdout:
        pid = int(process.stdout.readline())
        process.kill()
        wait_until(lambda: not runs(pid), "the child's end")


def test_orphan_signal_is_sent_when_the_supervisor_is_killed() -> None:
    ignores = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    code = PRELUDE + (
        f"with Supervisor() as s: print(s.start(python({ignores!r}, orphan_signal=signal.SIGKILL)).pid); s.poll_for(60)"
    )
    process = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process, process.stdout:
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "ready\n"
        process.kill()
        wait_until(lambda: not runs(pid), "the child's end")


def test_every_stop_signal_counts() -> None:
    done = supervise("""
        with Supervisor((signal.SIGHUP, signal.SIGINT)) as supervisor:
            print(supervisor.stop_requested)
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGINT)
            supervisor.request_stop()
            print(supervisor.stop_requested, supervisor.stop_requests, supervisor.reload_requested)
    """)
    assert done.stdout == "False\nTrue 3 False\n"
