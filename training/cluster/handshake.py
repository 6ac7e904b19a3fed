"""How a host proves that it belongs to a job, and the coordinator that it is the first host of that job.

The hosts of a job share what the platform gives to them alone: the job's name and ARN, the hosts, the hyperparameters
and the channels. Each host derives the same key from them, which never leaves the host. The coordinator sends a nonce
(a random number that is used once), the member answers with the HMAC of both nonces under the key, and the coordinator
with another one. So an eavesdropper can use none of it again, and a machine that does not know the job can neither join
it nor pass for its first host. Method: https://www.rfc-editor.org/rfc/rfc2104; why both sides choose a nonce, and why
each proof names its role: https://csrc.nist.gov/pubs/fips/196/final (without them, one side's answer could be given
back to it).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from byo_container.container.job import TrainingJob

Role = Literal["first host", "other host"]


@dataclass(frozen=True)
class JobIdentity:
    """What is the same on every host of a job, and on no other machine. Hyperparameters and channels are SHA-256
    digests."""

    name: str
    arn: str
    hosts: tuple[str, ...]
    hyperparameters: str
    channels: str

    @classmethod
    def of(cls, job: TrainingJob[Any], environ: Mapping[str, str] = os.environ) -> JobIdentity:
        """What this host knows of the job. What may differ from host to host is left out: in a cluster of several
        instance groups a channel may be meant for one group only (InstanceGroupNames of S3DataSource)."""
        given = [job.texts, job.platform, job.launcher, job.handler_name]
        channels = job.raw.get("inputdataconfig", {}) if len(job.hosts.groups) < 2 else {}
        return cls(
            name=job_name(job, environ),
            arn=environ.get("TRAINING_JOB_ARN", ""),
            hosts=job.hosts.all,
            hyperparameters=_digest(given),
            channels=_digest(channels),
        )

    def __str__(self) -> str:
        arn = f", {self.arn}" if self.arn else ""
        digests = f"hyperparameters {self.hyperparameters[:8]}, channels {self.channels[:8]}"
        return f"job {self.name!r}{arn}, hosts {', '.join(self.hosts)}, {digests}"

    def prove(self, role: Role, host: str, challenge: str, nonce: str) -> str:
        """The proof of `role` in a conversation between the coordinator, which chose `challenge`, and `host`, which
        chose `nonce`: 64 hexadecimal digits."""
        key = bytes.fromhex(_digest([self.name, self.arn, self.hosts, self.hyperparameters, self.channels]))
        return hmac.new(key, json.dumps([role, host, challenge, nonce]).encode(), hashlib.sha256).hexdigest()

    def accepts(self, proof: str, role: Role, host: str, challenge: str, nonce: str) -> bool:
        """Whether `proof` is what `prove` gives."""
        return hmac.compare_digest(proof, self.prove(role, host, challenge, nonce))


def job_name(job: TrainingJob[Any], environ: Mapping[str, str] = os.environ) -> str:
    """The name that tells a job from others on the same network."""
    name = job.platform.get("sagemaker_job_name") or environ.get("TRAINING_JOB_NAME")
    return str(name or ",".join(job.hosts.all))


def make_nonce() -> str:
    return secrets.token_hex(32)


def _digest(value: Any) -> str:
    """The same for the same content, in whatever order its keys were written."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
