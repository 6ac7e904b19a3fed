"""The variables that NCCL needs for EFA, the network between AWS's larger instances, on several hosts.

sagemaker-training-toolkit sets them too. Newer EFA plugins (aws-ofi-nccl from 1.7 on) choose most of them themselves;
older ones do not, and an image may have any.

Instance types: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa.html#efa-instance-types
The toolkit's: https://github.com/aws/sagemaker-training-toolkit/blob/master/src/sagemaker_training/__init__.py
The variables: https://github.com/aws-samples/awsome-distributed-training, 1.architectures/efa-cheatsheet.md
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from byo_container.container.instance_groups import team
from byo_container.container.job import TrainingJob

WITHOUT_RDMA = frozenset({"ml.g4dn.8xlarge", "ml.g4dn.12xlarge", "ml.g5.48xlarge", "ml.p3dn.24xlarge"})
"""On these, a rank that asks for RDMA fails at its start."""
WITH_RDMA = frozenset(
    {
        *{"ml.p4d.24xlarge", "ml.p4de.24xlarge", "ml.p5.48xlarge", "ml.p5e.48xlarge", "ml.p5en.48xlarge"},
        *{"ml.p6-b200.48xlarge", "ml.p6-b300.48xlarge", "ml.p6e-gb200.36xlarge"},
        *{"ml.trn1.32xlarge", "ml.trn1n.32xlarge", "ml.trn2.48xlarge", "ml.trn2u.48xlarge"},
    }
)
NEW = frozenset(
    {
        *{"ml.p5en.48xlarge", "ml.p6-b200.48xlarge", "ml.p6-b300.48xlarge"},
        *{"ml.trn1n.32xlarge", "ml.trn2.48xlarge", "ml.trn2u.48xlarge"},
    }
)
"""Newer than the toolkit's list. Only plugins that choose NCCL's protocol themselves support them."""


def variables(job: TrainingJob[Any], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for this host's ranks, without those that the image or the job sets; empty for a single host."""
    wanted = variables_for(job.hosts.instance_type) if len(team(job)) > 1 else {}
    return {name: value for name, value in wanted.items() if name not in environ}


def variables_for(instance_type: str) -> dict[str, str]:
    """The variables for ranks on an instance type such as `ml.p5.48xlarge`; none for a type without EFA."""
    if instance_type not in WITH_RDMA | WITHOUT_RDMA:
        return {}
    # The toolkit's RDMAV_FORK_SAFE means the same to libfabric, and breaks things on newer kernels.
    wanted = {"FI_PROVIDER": "efa", "FI_EFA_FORK_SAFE": "1"}
    if instance_type in WITH_RDMA:
        wanted["FI_EFA_USE_DEVICE_RDMA"] = "1"
    if instance_type not in NEW:
        wanted["NCCL_PROTO"] = "simple"  # EFA delivers out of order, which the other protocols do not support
    return wanted
