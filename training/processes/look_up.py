"""`python -I -S training/processes/look_up.py HOST…`: prints each host's name as soon as it resolves, and ends when
all do.

This is a process of its own because a look-up may block for longer than the heartbeat timeout. It is not a thread
because Python cannot fork safely (`preexec_fn` in container/process/child.py) while another thread runs.
"""

from __future__ import annotations

import socket
import sys
import time


def main(hosts: list[str]) -> None:
    unresolved = list(dict.fromkeys(hosts))
    while unresolved:
        for host in list(unresolved):
            try:
                socket.getaddrinfo(host, None)
            except (OSError, UnicodeError):
                continue
            unresolved.remove(host)
            print(host, flush=True)
        time.sleep(0.2 if unresolved else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
