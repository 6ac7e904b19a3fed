"""How a host proves that it belongs to a job."""

from __future__ import annotations

import dataclasses
from typing import Any

from byo_container.container.job import TrainingJob
from byo_container.training.cluster.handshake import JobIdentity
from tests.training.support.jobs import job

MINE: dict[str, Any] = {"sagemaker_job_name": "mine", "lr": "1"}
IDENTITY = JobIdentity.of(job(3, **MINE), {})


def test_an_identity_is_the_same_on_all_hosts_of_a_job() -> None:
    groups = {"cpus": ["algo-1"], "gpus": ["algo-2", "algo-3"]}
    jobs = [job(3, number, groups, **MINE) for number in (1, 2, 3)]
    jobs = [
        dataclasses.replace(one, raw={"inputdataconfig": {f"of-host-{number}": {}}}) for number, one in enumerate(jobs)
    ]
    assert len({JobIdentity.of(one, {}) for one in jobs}) == 1, "a channel may be meant for one group only"
    of_one_group = [job(2, number, **MINE) for number in (1, 2)]
    assert len({JobIdentity.of(one, {}) for one in of_one_group}) == 1


def test_an_identity_differs_between_jobs() -> None:
    plain = job(2, **MINE)
    jobs: list[TrainingJob[Any]] = [
        plain,
        job(3, **MINE),
        dataclasses.replace(plain, texts={"lr": "2"}),
        dataclasses.replace(plain, handler_name="news"),
        dataclasses.replace(plain, raw={"inputdataconfig": {"train": {}}}),
    ]
    identities = {JobIdentity.of(one, {}) for one in jobs}
    identities.add(JobIdentity.of(plain, {"TRAINING_JOB_ARN": "arn:1"}))
    assert len({identity.prove("other host", "algo-2", "1", "2") for identity in identities}) == len(jobs) + 1


def test_a_proof_is_good_for_one_role_host_and_conversation_only() -> None:
    proofs = {
        IDENTITY.prove("other host", "algo-2", "1", "2"),
        IDENTITY.prove("first host", "algo-2", "1", "2"),
        IDENTITY.prove("other host", "algo-3", "1", "2"),
        IDENTITY.prove("other host", "algo-2", "2", "1"),
        IDENTITY.prove("other host", "algo-2", "12", ""),
    }
    assert len(proofs) == 5


def test_the_text_of_an_identity_hides_its_hyperparameters() -> None:
    assert str(IDENTITY).startswith("job 'mine', hosts algo-1, algo-2, algo-3, hyperparameters ")
    assert IDENTITY.hyperparameters not in str(IDENTITY)
