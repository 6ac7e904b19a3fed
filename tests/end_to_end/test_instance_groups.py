"""A cluster of two instance groups, one of which trains: its hosts learn of each other, and of nobody else."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.hosts import make_hosts

# The hosts of the group that trains meet at the address and port that the environment gives.
SCRIPT = """
import json, os, socket, time
env = os.environ
training_env = json.loads(env["SM_TRAINING_ENV"])
place = (env["SM_MASTER_ADDR"], int(env["SM_MASTER_PORT"]))
assert place == (env["MASTER_ADDR"], int(env["MASTER_PORT"])) and place[0] == training_env["master_hostname"]
met = None
if training_env["is_master"]:
    with socket.create_server(("", place[1])) as server:
        met = server.accept()[0].makefile().readline().strip()
elif training_env["current_host"] in training_env["distribution_hosts"]:
    while not met:
        try:
            with socket.create_connection(place, timeout=10) as link:
                link.sendall(training_env["current_host"].encode() + b"\\n")
            met = place[0]
        except ConnectionRefusedError:
            time.sleep(0.05)
names = ("SM_CURRENT_INSTANCE_GROUP", "SM_DISTRIBUTION_INSTANCE_GROUPS", "SM_HOST_COUNT", "SM_CURRENT_HOST_RANK")
with open(env["SM_OUTPUT_DATA_DIR"] + "/seen", "w") as stream:
    json.dump([met, training_env["distribution_hosts"], *(env[name] for name in names)], stream)
"""
GROUPS = {"cpus": ["algo-1"], "gpus": ["algo-2", "algo-3"]}


def test_hosts_of_one_instance_group_find_each_other(tmp_path: Path) -> None:
    given = {"sagemaker_distribution_instance_groups": '["gpus"]', "launcher": "single"}
    groups = [{"instance_group_name": name, "instance_type": "ml", "hosts": hosts} for name, hosts in GROUPS.items()]
    with make_hosts(3, tmp_path, code={"train.py": SCRIPT}, hyperparameters=given) as hosts:
        for host in hosts.all:
            own = next(name for name, members in GROUPS.items() if host.name in members)
            config = host.tree.paths.resource_config
            resources = {**json.loads(config.read_text()), "current_group_name": own, "instance_groups": groups}
            config.write_text(json.dumps(resources))
        hosts.start()
        assert hosts.wait(30) == [0, 0, 0], hosts[3].log
        seen = [json.loads((host.tree.paths.output_data / "seen").read_text()) for host in hosts.all]
    team = ["algo-2", "algo-3"]
    assert seen == [
        [None, team, "cpus", '["gpus"]', "3", "0"],
        ["algo-3", team, "gpus", '["gpus"]', "3", "1"],
        ["algo-2", team, "gpus", '["gpus"]', "3", "2"],
    ]
