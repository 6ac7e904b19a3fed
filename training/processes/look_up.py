"""`python -I -S training/processes/look_up.py HOST…`: prints each host's name as soon as it resolves, and ends when
all do.

A process of its own, because a look-up may block for longer than a heartbeat may fail to come. Not a thread: Python
forks no child safely (`preexec_fn` in container/process/child.py) while another thread runs.
"""

from __future__ import annotations

import socket
import sys
import time


def main(hosts: list[str]) -> None:
    unknown = list(dict.fromkeys(hosts))
    while unknown:
        for host in list(unknown):
            try:
                socket.getaddrinfo(host, None)
            except (OSError, UnicodeError):
                continue
            unknown.remove(host)
            print(host, flush=True)
        time.sleep(0.2 if unknown else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
