"""What each process of a server holds in memory: proportional set sizes after 2 s of load.

    python -m benchmarks.memory [MODEL_DIR]

A proportional set size (PSS) counts a page that n processes share as an nth of a page, so the
figures add up to what the server really takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import wrk
from benchmarks.processes import after_name, descendants
from benchmarks.report import machine, table
from benchmarks.servers import ECHO, Served, Server, our_model, serving

SUPERVISOR_TARGET = 30.0  # MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", nargs="?", type=Path, metavar="MODEL_DIR")
    options = parser.parse_args()
    servers = [ECHO, *([our_model(options.model_dir)] if options.model_dir else [])]
    rows = [row for server in servers for row in measure(server)]
    print(table(["server", "process", "PSS MB", "private MB"], rows))
    print(f"\nTarget: supervisor < {SUPERVISOR_TARGET:.0f} MB. {machine()}")


def measure(server: Server) -> list[list[str]]:
    with serving(server) as served:
        wrk.run(served, seconds=2)
        return [
            [server.label, role, f"{pss:.1f}", f"{private:.1f}"]
            for role, pid in roles(served)
            for pss, private in [memory(pid)]
        ]


def roles(served: Served) -> list[tuple[str, int]]:
    """Every process with its part in the server: first the one that was started, then the rest."""
    top = served.processes[0].pid
    found = [("supervisor", top)]
    for pid in descendants(top):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        parent = int(after_name(Path(f"/proc/{pid}/stat"))[1])
        if command.startswith("nginx:"):
            found.append((" ".join(command.split()[:2]), pid))
        else:
            found.append(("gunicorn master" if parent == top else "gunicorn worker", pid))
    return found


def memory(pid: int) -> tuple[float, float]:
    """Proportional and private megabytes (10^6 bytes) of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name.rstrip(":"): int(size) for name, size, *_ in map(str.split, lines)}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return kilobytes["Pss"] * 1024 / 1e6, private * 1024 / 1e6


if __name__ == "__main__":
    main()
