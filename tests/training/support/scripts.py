"""Scripts that a job runs, and what they do on SIGTERM."""

# The three seconds are more than processes get that a program has left behind (2 s).
SAVES = r"""
import os, signal, sys, time
from pathlib import Path
name, signals = sys.argv[1], []

def save(*_):
    signals.append("SIGTERM")
    if len(signals) == 1:
        time.sleep(3)
        print(f"{name} saves\n", end="", flush=True)  # in one piece
        Path(os.environ["SM_MODEL_DIR"], name).write_text(" ".join(signals))
        sys.exit(0)

signal.signal(signal.SIGTERM, save)
Path(os.environ["SM_OUTPUT_DATA_DIR"], name).touch()
time.sleep(60)
"""
IGNORES = """
import os, signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(os.environ["SM_OUTPUT_DATA_DIR"], "deaf").touch()
time.sleep(60)
"""
