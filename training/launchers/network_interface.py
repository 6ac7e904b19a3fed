"""Finds the network interface that leads to the other hosts, and a free port for a single host.

resourceconfig.json names the interface, and is sometimes wrong: the SDK's local mode writes `ethwe`, where Docker calls
it eth0.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct

from byo_container.container.job import Hosts
from byo_container.container.log import log

SIOCGIFADDR = 0x8915
_claims: list[socket.socket] = []  # of the ports of this process


def find_interface(hosts: Hosts) -> str | None:
    """The interface that the platform names, if this host has it; otherwise the one whose address this host uses
    towards another host; None where that is not known, so that frameworks choose for themselves."""
    if hosts.network_interface in [name for _, name in socket.if_nameindex()]:
        return hosts.network_interface
    others = [host for host in hosts.all if host != hosts.current]
    interface = interface_of(address_towards(others[0])) if others else None
    if others:
        log.warning(
            "resourceconfig.json names the network interface %s, which is not there; %s",
            hosts.network_interface,
            f"using {interface}" if interface else "frameworks will choose one themselves",
        )
    return interface


def claim_port(wanted: int) -> int:
    """The port `wanted`, or any free port where that is taken. For a single host, which need not agree with others.

    The frameworks bind it seconds later. Until this process ends, no other job on this network gets it: a claim is an
    abstract Unix socket (unix(7)), whose names belong to the network namespace as ports do.
    """
    for port in (wanted, 0, 0, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as server:
            free = int(server.getsockname()[1])
            claim = socket.socket(socket.AF_UNIX)
            claim.bind(f"\0byo-container-port-{free}")
            _claims.append(claim)
            return free
    return wanted


def address_towards(host: str) -> str | None:
    """The source address of packets to `host`. Nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
    return None


def interface_of(address: str | None) -> str | None:
    """The interface with this IPv4 address; None where there is none."""
    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            request = struct.pack("256s", name.encode()[:15])
            if socket.inet_ntoa(fcntl.ioctl(probe, SIOCGIFADDR, request)[20:24]) == address:
                return name
    return None
