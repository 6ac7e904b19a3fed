"""Stopping children with everything that they have started."""

from __future__ import annotations

from tests.container.process.support import supervise


def test_child_that_ignores_sigterm_is_killed_after_the_grace_time() -> None:
    done = supervise("""
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        (child,) = run([[python("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)")]], 0.5)
        print(child.status, child.overdue)
    """)
    assert done.stdout == "137 True\n"


def test_child_of_a_shell_gets_the_grace_time_to_save() -> None:
    done = supervise("""
        saves = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(3), print('saved'), sys.exit(0)))"
        env = {"PYTHON": sys.executable, "CODE": saves + "; time.sleep(60)"}
        shell = Command(["bash", "-c", '"$PYTHON" -c "$CODE"; true'], "shell", env)
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        (child,) = run([[shell]], 20)
        print(child.status)
    """)
    assert done.stdout == "saved\n143\n"
