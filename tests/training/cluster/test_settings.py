"""The settings of a cluster, from the environment."""

from __future__ import annotations

import pytest

from byo_container.container.failure import JobError
from byo_container.training.cluster.settings import read_settings
from tests.training.support.jobs import job


def test_settings() -> None:
    environ = {"TRAINING_PEERS_PORT": "7000", "TRAINING_PEERS_WAIT": "30", "TRAINING_PEERS_SILENCE": ""}
    settings = read_settings(job(2), 100, environ)
    assert (
        settings.ports.coordinator,
        settings.join_timeout_s,
        settings.heartbeat_timeout_s,
        settings.stop_grace_s,
    ) == (
        7000,
        30,
        5,
        100,
    )


@pytest.mark.parametrize("name", ["TRAINING_PEERS_PORT", "TRAINING_PEERS_WAIT", "TRAINING_PEERS_SILENCE"])
def test_a_bad_setting_is_refused(name: str) -> None:
    with pytest.raises(JobError, match=f"the environment variable {name} is 'soon'; it must be a (whole )?number"):
        read_settings(job(2), 100, {name: "soon"})
