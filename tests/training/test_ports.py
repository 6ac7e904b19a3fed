"""The ports of a job."""

from __future__ import annotations

import dataclasses

from byo_container.training.ports import COUNT, Ports


def test_jobs_have_ports_of_their_own() -> None:
    first = [Ports.of_job(f"job-{number}").coordinator for number in range(50)]
    assert len(set(first)) > 45
    assert all(10_000 <= port <= 29_992 and port % 8 == 0 for port in first)


def test_all_ports_differ_and_lie_in_the_row() -> None:
    ports = dataclasses.astuple(Ports.starting_at(20_000))
    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(range(20_000, 20_000 + COUNT))


def test_a_single_host_has_its_ports_around_one_that_is_free() -> None:
    assert Ports.with_master(40_001).master == 40_001
