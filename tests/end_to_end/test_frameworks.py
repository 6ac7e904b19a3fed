"""The scripts of examples/ on several hosts, as users of each framework would start them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.hosts import Hosts, make_hosts
from tests.support.processes import wait_until
from tests.support.tree import TRAIN, Tree, make_tree

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
# The promise is 10 s, which docs/several_hosts.md's figures are about; beside other tests on two cores it takes longer.
AT_MOST_S = 30.0
SMALL = {"epochs": "2", "steps": "5"}


def need(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not importlib.util.find_spec(package), reason=f"{package} is not installed")


def example(name: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in (EXAMPLES / name).glob("*.py")}


def said(hosts: Hosts, pattern: str) -> list[str]:
    """What all hosts' logs say that matches, sorted."""
    return sorted(found for host in hosts.all for found in re.findall(pattern, host.log))


def ddp(folder: Path, count: int, **given: str) -> Any:
    checkpoint = {"checkpoint": str(folder / "checkpoint.pt")}
    given = {**SMALL, **checkpoint, "sagemaker_torch_distributed_enabled": "true", **given}
    return make_hosts(count, folder, code=example("ddp"), hyperparameters=given)


@need("torch")
def test_torch_ddp_trains_as_one_and_resumes(tmp_path: Path) -> None:
    with ddp(tmp_path, 2, processes_per_host="2") as hosts:
        hosts.start()
        assert hosts.wait(90) == [0, 0], hosts[1].log
        weights = said(hosts, r"rank \d of 4 ends with weights (\S+)")
        assert len(weights) == 4
        assert len(set(weights)) == 1
        assert (hosts[1].tree.paths.model / "model.pt").is_file()
        assert not list(hosts[2].tree.paths.model.iterdir())
        assert said(hosts, r"epoch=(\d)") == ["0", "1"]
    shutil.rmtree(tmp_path / "algo-1")
    shutil.rmtree(tmp_path / "algo-2")
    with ddp(tmp_path, 2, epochs="3") as hosts:  # another number of processes, too
        hosts.start()
        assert hosts.wait(90) == [0, 0], hosts[1].log
        assert said(hosts, r"epoch=(\d)") == ["2"]


@need("torch")
@pytest.mark.parametrize("end", ["a rank exits with 3", "a rank raises", "a host dies", "a cable is pulled"])
def test_failing_torch_rank_ends_all_hosts(tmp_path: Path, end: str) -> None:
    with ddp(tmp_path, 2, steps="1000", step_ms="200", processes_per_host="2") as hosts:
        code = hosts[2].tree.paths.code / "train.py"
        fault = {
            "a rank exits with 3": "if step == 10 and rank == 3: raise SystemExit(3)",
            "a rank raises": "if step == 10 and rank == 3: raise ValueError('torn')",
        }.get(end, "pass")
        mark = "            optimizer.zero_grad()\n"
        code.write_text(code.read_text().replace(mark, f"            {fault}\n{mark}"))
        hosts.start()
        wait_until(lambda: len(said(hosts, r"first step of rank (\d)")) == 4, "the first steps", 60)
        if end == "a host dies":
            hosts[2].kill()
        elif end == "a cable is pulled":
            hosts[2].cut()
        else:
            time.sleep(2)  # ten steps
        began = time.monotonic()
        statuses = hosts.wait(30)
        assert time.monotonic() - began < AT_MOST_S
        assert all(statuses)
        reason = {
            "a rank exits with 3": "algo-2, rank 3: train.py ended with status 3",
            "a rank raises": "algo-2, rank 3: ValueError: torn\n  in File ",
            "a host dies": "algo-2 was lost: its connection closed",
            "a cable is pulled": "algo-2 was lost: nothing was heard from it",
        }[end]
        assert hosts[1].failure.startswith(reason), hosts[1].log
        if end.startswith("a rank"):
            assert hosts[2].failure == hosts[1].failure
            assert statuses == ([3, 3] if "exits" in end else [1, 1])


SAVES = """
import signal, sys
def save(*_):
    time.sleep(2)
    print("rank", os.environ["RANK"], "has saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
"""


@need("torch")
def test_sigterm_on_one_host_lets_all_ranks_of_torchrun_save(tmp_path: Path) -> None:
    with ddp(tmp_path, 2, steps="1000", step_ms="200", processes_per_host="2") as hosts:
        for host in hosts.all:
            code = host.tree.paths.code / "train.py"
            code.write_text(code.read_text().replace("\n\nCHECKPOINT = ", f"\n{SAVES}\nCHECKPOINT = "))
        hosts.start({2: 5})
        wait_until(lambda: len(said(hosts, r"first step of rank (\d)")) == 4, "the first steps", 60)
        hosts[2].terminate()
        began = time.monotonic()
        assert hosts.wait(60) == [0, 0], hosts[1].log
        assert time.monotonic() - began < AT_MOST_S
        assert said(hosts, r"rank (\d) has saved") == ["0", "1", "2", "3"]


@need("mpi4py")
@pytest.mark.skipif(not shutil.which("mpirun"), reason="mpirun is not installed")
def test_mpi4py_trains_as_one_on_four_hosts(tmp_path: Path) -> None:
    given = {"sagemaker_mpi_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "2"}
    with make_hosts(4, tmp_path, code=example("mpi4py"), hyperparameters=given) as hosts:
        hosts.start(SSH_PORT="2222")
        assert hosts.wait(90) == [0] * 4, hosts[1].log
        assert said(hosts, r"rank \d of 8 on (algo-\d) has \[3.0, 1.0\]") == sorted(
            f"algo-{number}" for number in (1, 2, 3, 4) for _ in range(2)
        )
        assert json.loads((hosts[1].tree.paths.model / "line.json").read_text()) == pytest.approx([3, 1], abs=1e-4)


@need("mpi4py")
@pytest.mark.skipif(not shutil.which("mpirun"), reason="mpirun is not installed")
@pytest.mark.parametrize("count", [1, 2])
def test_a_rank_of_mpi_that_raises_does_not_hang_at_its_end(tmp_path: Path, count: int) -> None:
    code = "from mpi4py import MPI\nif MPI.COMM_WORLD.rank == 1: raise ValueError('torn')\nMPI.COMM_WORLD.barrier()\n"
    given = {"launcher": "mpi", "processes_per_host": str(2 // count)}
    with make_hosts(count, tmp_path, code={"train.py": code}, hyperparameters=given) as hosts:
        hosts.start()
        assert hosts.wait(20) == [1] * count
        for host in hosts.all:
            assert host.failure.startswith(f"{f'algo-{count}, ' * (count > 1)}rank 1: ValueError: torn"), host.log


def sentiment(folder: Path, **given: str) -> Any:
    """The workshop's lab 5, small, on two hosts."""
    channels: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    given = {"sagemaker_program": "sentiment.py", "epochs": "1", "batch_size": "32", **given}
    return make_hosts(2, folder, code=example("sentiment"), hyperparameters=given, channels=channels)


def write_reviews(hosts: Hosts, count: int = 128, length: int = 40) -> None:
    import numpy as np

    random = np.random.default_rng(0)
    for host in hosts.all:
        for name in ("train", "test"):
            folder = host.tree.paths.data / name
            np.save(folder / f"x_{name}.npy", random.integers(1, 20_000, (count, length)))
            np.save(folder / f"y_{name}.npy", random.integers(0, 2, count))


SHOW_WEIGHTS = """
    print("weights", float(sum(abs(w).sum() for w in model.get_weights())), flush=True)
    model.save("""


@need("tf_keras")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "flag", ["sagemaker_parameter_server_enabled", "sagemaker_multi_worker_mirrored_strategy_enabled"]
)
def test_a_keras_script_that_knows_no_strategy_trains_as_one(tmp_path: Path, flag: str) -> None:
    with sentiment(tmp_path, **{flag: "true"}) as hosts:
        write_reviews(hosts)
        for host in hosts.all:
            code = host.tree.paths.code / "sentiment.py"
            code.write_text(code.read_text().replace("\n    model.save(", SHOW_WEIGHTS))
        hosts.start()
        assert hosts.wait(200) == [0, 0], hosts[1].log
        weights = said(hosts, r"weights (\S+)")
        assert len(weights) == 2
        assert len(set(weights)) == 1
        assert (hosts[1].tree.paths.model / "1/saved_model.pb").is_file()
        assert not list(hosts[2].tree.paths.model.iterdir())
        reviews = [[1] * 40] * 3
        first, second = served(hosts[1].tree, {"instances": reviews}, reviews)
        assert len(first["predictions"]) == 3
        assert first == second


# As AWS's tensorflow_script_mode_training_and_serving/mnist-2.py does: the first host saves, and it alone. With
# batch normalisation and metrics, whose variables TensorFlow by itself reduces over all hosts when one of them saves.
SAVES_ON_THE_FIRST_HOST = """
import json, os, time
import numpy as np, tensorflow as tf
host, hosts, folder = os.environ["SM_CURRENT_HOST"], json.loads(os.environ["SM_HOSTS"]), os.environ["SM_MODEL_DIR"]
model = tf.keras.Sequential([
    tf.keras.layers.Dense(4, input_shape=(4,)), tf.keras.layers.BatchNormalization(), tf.keras.layers.Dense(1),
])
model.compile("adam", "mse", metrics=["mae"])
x = np.random.default_rng(hosts.index(host)).random((64, 4), "float32")
first = host == hosts[0]
callbacks = [tf.keras.callbacks.ModelCheckpoint(folder + "/latest")] if first else []
model.fit(x, x.sum(1), batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
model.evaluate(x, x.sum(1), verbose=0)
print("weights", *[float(abs(w).sum()) for w in model.get_weights()], sep=",", flush=True)
if first:
    model.save(folder + "/1")
    model.save(folder + "/model.keras")
    model.save_weights(folder + "/weights.h5")
    model.export(folder + "/exported")
    tf.saved_model.save(model, folder + "/saved_model")
    tf.keras.models.save_model(model, folder + "/model.h5")
    tf.train.CheckpointManager(tf.train.Checkpoint(model=model), folder + "/checkpoints", 2).save()
    print("saved on", host, flush=True)
"""
SAVED = {"latest", "1", "model.keras", "weights.h5", "exported", "saved_model", "model.h5", "checkpoints"}


@need("tf_keras")
@pytest.mark.timeout(300)
def test_saving_may_be_left_to_the_first_host(tmp_path: Path) -> None:
    given = {"sagemaker_parameter_server_enabled": "true"}
    with make_hosts(2, tmp_path, code={"train.py": SAVES_ON_THE_FIRST_HOST}, hyperparameters=given) as hosts:
        hosts.start()
        assert hosts.wait(200) == [0, 0], hosts[1].log
        assert {path.name for path in hosts[1].tree.paths.model.iterdir()} == SAVED
        assert said(hosts, r"saved on (\S+)") == ["algo-1"]
        assert not list(hosts[2].tree.paths.model.iterdir())
        weights = said(hosts, r"weights,(\S+)")
        assert len(weights) == 2
        assert len(set(weights)) == 1  # the statistics of batch normalisation, too


def served(tree: Tree, *payloads: Any) -> list[Any]:
    """What `serve` answers with the model that was trained, a SavedModel, and without any code."""
    with contextlib.closing(socket.create_server(("", 0))) as listener:
        port = listener.getsockname()[1]
    environ = {"SAGEMAKER_BASE_DIR": str(tree.root), "SAGEMAKER_BIND_TO_PORT": str(port), "MODEL_SERVER_WORKERS": "1"}
    server = subprocess.Popen([TRAIN.with_name("serve")], env={**os.environ, **environ})
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/ping"), "the server", 60)
        return [requests.post(f"{url}/invocations", json=payload, timeout=30).json() for payload in payloads]
    finally:
        server.terminate()
        server.wait(30)


def answers(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(url, timeout=10).status_code == 200
    return False


# Each host has rows of its own, and notes which of them the model has been given.
OWN_ROWS = """
import json, os
import numpy as np, tensorflow as tf
hosts = json.loads(os.environ["SM_HOSTS"])
rank = hosts.index(os.environ["SM_CURRENT_HOST"])
rows = ROWS[rank]
x = np.stack([np.arange(rows), np.ones(rows)], 1).astype("float32")
y = x[:, 0] % 2
seen = set()
def note(batch):
    seen.update(batch[:, 0].tolist())
    return batch
class Note(tf.keras.layers.Layer):
    def call(self, batch):
        noted = tf.numpy_function(note, [batch], tf.float32)
        noted.set_shape(batch.shape)
        return noted
def said(what, *more):
    print(what, rank, "has seen", len(seen), *more, flush=True)
    seen.clear()
model = tf.keras.Sequential([tf.keras.layers.InputLayer((2,)), Note(), tf.keras.layers.Dense(1, "sigmoid")])
model.compile("sgd", "binary_crossentropy")
dataset = tf.data.Dataset.from_tensor_slices((x, y))
"""
EVERY_INPUT = """
model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
said("arrays")
model.fit(dataset.batch(16), verbose=0)
said("dataset")
plain = tf.keras.Sequential([tf.keras.layers.BatchNormalization(input_shape=(2,)), tf.keras.layers.Dense(1)])
plain.compile("sgd", "mse")
plain.fit(dataset.filter(lambda *_: True).batch(16), epochs=2, verbose=0)
print("unknown:", int(plain.optimizer.iterations.numpy()), "steps", flush=True)
model.fit(dataset.batch(16), steps_per_epoch=-(-rows // 16), verbose=0)
said("steps")
model.fit(dataset.repeat().batch(16), steps_per_epoch=12, verbose=0)
said("endless")
class Batches(tf.keras.utils.Sequence):
    def __len__(self):
        return -(-rows // 16)
    def __getitem__(self, k):
        return x[16 * k : 16 * k + 16], y[16 * k : 16 * k + 16]
model.fit(Batches(), verbose=0)
said("sequence")
model.evaluate(x, y, verbose=0)
said("evaluate")
said("predict", len(model.predict(x, verbose=0)))
said("predict", len(model.predict(dataset.batch(16), verbose=0)))
model.fit(x, y, batch_size=16, verbose=0, validation_data=(x, y))
said("validation")
"""
SHARDS = """
shard = dataset.shard(len(hosts), rank).batch(16)
model.fit(shard, verbose=0, shuffle=False)
said("shard")
"""
KEEPS = """
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
model.fit(dataset.batch(16).with_options(options), verbose=0)
said("kept")
"""
SHARDED = {"training": {"TrainingInputMode": "File", "S3DistributionType": "ShardedByS3Key"}}


@need("tf_keras")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("rows", "inputs", "script", "why"),
    [
        ([96, 96], SHARDED, EVERY_INPUT, "S3DistributionType of channel training is ShardedByS3Key"),
        ([96, 40], SHARDED, EVERY_INPUT, "S3DistributionType of channel training is ShardedByS3Key"),
        ([192, 192], {}, SHARDS, "the script calls tf.data.Dataset.shard itself"),
        (
            [96, 40],
            {},
            "model.fit(x, y, batch_size=16, verbose=0)\nsaid('x')",
            "the hosts have different numbers of batches",
        ),
    ],
    ids=["equal", "unequal", "shard", "unequal, which the channel does not say"],
)
def test_a_host_with_data_of_its_own_trains_on_all_of_it(
    tmp_path: Path, rows: list[int], inputs: Any, script: str, why: str
) -> None:
    given = {"sagemaker_parameter_server_enabled": "true"}
    code = {"train.py": OWN_ROWS.replace("ROWS", str(rows)) + script}
    with make_hosts(
        2, tmp_path, code=code, hyperparameters=given, channels={name: {} for name in inputs}, inputs=inputs
    ) as hosts:
        hosts.start()
        assert hosts.wait(150) == [0, 0], hosts[1].log
        for rank, host in enumerate(hosts.all):
            own = min(96, rows[rank])
            assert f"auto-sharding is off, because {why}" in host.log
            seen = re.findall(rf"(\w+) {rank} has seen (\d+)( \d+)?", host.log)
            assert len(seen) == script.count("said(")
            # TensorFlow may count the step that finds no more data.
            assert all(int(steps) in (24, 25) for steps in re.findall(r"unknown: (\d+) steps", host.log))
            assert {what: int(count) for what, count, _ in seen} == dict.fromkeys((what for what, *_ in seen), own)
            assert [int(count) for *_, count in seen if count] == [own] * script.count('"predict"')


@need("tf_keras")
@pytest.mark.timeout(300)
def test_the_policy_of_the_scripts_options_is_kept(tmp_path: Path) -> None:
    given = {"sagemaker_parameter_server_enabled": "true"}
    code = {"train.py": OWN_ROWS.replace("ROWS", "[96, 96]") + KEEPS}
    with make_hosts(2, tmp_path, code=code, hyperparameters=given, channels={"training": {}}, inputs=SHARDED) as hosts:
        hosts.start()
        assert hosts.wait(100) == [0, 0], hosts[1].log
        assert said(hosts, r"kept \d has seen (\d+)") == ["48", "48"]


MAKES_A_STRATEGY = """
import tensorflow as tf, numpy as np
strategy = tf.distribute.MirroredStrategy()
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(4,))])
    model.compile("sgd", "mse")
model.fit(np.ones((32, 4)), np.ones(32), verbose=0)
print("trained", flush=True)
"""


@need("tf_keras")
@pytest.mark.timeout(300)
def test_mirrored_strategy_becomes_that_of_all_hosts(tmp_path: Path) -> None:
    given = {"sagemaker_parameter_server_enabled": "true"}
    with make_hosts(2, tmp_path, code={"train.py": MAKES_A_STRATEGY}, hyperparameters=given) as hosts:
        hosts.start()
        assert hosts.wait(100) == [0, 0], hosts[1].log
        assert said(hosts, r"(trained)\n") == ["trained", "trained"]


LONELY = {
    "no training": ("print('nothing to do')", "ended without training anything by tf.keras"),
    "Keras 3": (
        "import keras, numpy as np\nm = keras.Sequential([keras.layers.Dense(1)])\nm.compile(loss='mse')\n"
        "m.fit(np.ones((8, 2)), np.ones(8))",
        "Keras 3 cannot train on several hosts",
    ),
    "a strategy that is never made": (
        "import tensorflow as tf\nif False: tf.distribute.ParameterServerStrategy(None)",
        "train.py names ParameterServerStrategy, but ended without having made one: the first of 2 hosts has trained",
    ),
    "a first host that fails while the other one waits for its end": (
        "import os, tensorflow as tf, numpy as np\nx = np.ones((8, 2))\n"
        "m = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])\nm.compile(loss='mse')\n"
        "m.fit(x, x[:, :1], verbose=0)\nif os.environ['SM_CURRENT_HOST'] == 'algo-1': raise ValueError('torn')",
        "ValueError: torn",
    ),
    "OneDeviceStrategy": (
        "import tensorflow as tf\ntf.distribute.OneDeviceStrategy('/cpu:0')",
        "train.py makes a OneDeviceStrategy, which trains on one host alone",
    ),
    "CentralStorageStrategy": (
        "import tensorflow as tf\ntf.distribute.experimental.CentralStorageStrategy()",
        "train.py makes a CentralStorageStrategy, which trains on one host alone",
    ),
    "a training loop of the script's own": (
        "import tensorflow as tf\nloss = tf.keras.losses.MeanSquaredError()\n"
        "@tf.function\ndef step():\n    return loss([1.], [2.])\nstep()",
        "a training loop of the script's own cannot be distributed as it is: give its losses reduction=",
    ),
    "predictions on the first host alone": (
        "import os, tensorflow as tf, numpy as np\nx = np.ones((8, 2))\n"
        "m = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])\nm.compile(loss='mse')\n"
        "m.fit(x, x[:, :1], verbose=0)\nif os.environ['SM_CURRENT_HOST'] == 'algo-1': m.predict(x)",
        "worker 0 calls predict without worker 1, whose script has ended",
    ),
}


@need("tf_keras")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("script", "reason"), LONELY.values(), ids=LONELY)
def test_what_tensorflow_cannot_distribute_is_an_error(tmp_path: Path, script: str, reason: str) -> None:
    given = {"launcher": "tf_config"}
    with make_hosts(2, tmp_path, code={"train.py": script}, hyperparameters=given) as hosts:
        hosts.start()
        assert hosts.wait(100) == [1, 1], hosts[1].log
        assert all(reason in host.failure for host in hosts.all), hosts[1].failure


PARAMETER_SERVER = """
import os
import tensorflow as tf
resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
strategy = tf.distribute.ParameterServerStrategy(resolver)

class Model(tf.keras.Sequential):
    def train_step(self, data):
        tf.print("a step")  # in the log of the worker that takes it
        return super().train_step(data)

def reviews(context):
    x = tf.random.stateless_uniform((64, 4), seed=(0, 0))
    return tf.data.Dataset.from_tensor_slices((x, tf.reduce_sum(x, 1))).batch(8).repeat()

with strategy.scope():
    model = Model([tf.keras.layers.Dense(1, input_shape=(4,))])
    model.compile("sgd", "mse")
model.fit(tf.keras.utils.experimental.DatasetCreator(reviews), steps_per_epoch=20, epochs=EPOCHS, verbose=0)
model.save(os.environ["SM_MODEL_DIR"] + "/1")
tf.keras.models.load_model(os.environ["SM_MODEL_DIR"] + "/1", compile=False)
tf.train.Checkpoint(model=model).save(os.environ["SM_MODEL_DIR"] + "/checkpoint")
print("trained by", *resolver.cluster_spec().as_dict()["worker"])
"""
# As TensorFlow's guide tells users to begin. Servers and workers are ours, so that only the chief comes here.
GUIDE = """
import json, os
if json.loads(os.environ["TF_CONFIG"])["task"]["type"] in ("worker", "ps"):
    raise SystemExit("this is no task for the script")
"""


@need("tf_keras")
@pytest.mark.timeout(300)
def test_every_host_is_a_worker_of_parameter_servers_which_end_with_the_chief(tmp_path: Path) -> None:
    given = {"sagemaker_parameter_server_enabled": "true"}
    code = {"train.py": GUIDE + PARAMETER_SERVER.replace("EPOCHS", "3")}
    with make_hosts(2, tmp_path, code=code, hyperparameters=given) as hosts:
        hosts[1].start()
        # The second host must not see the first one's disk: a parameter server would write its part there.
        hosts[2].start("sh", "-c", f"mount -t tmpfs tmpfs {hosts[1].tree.root} && exec {TRAIN}")
        assert hosts.wait(150) == [0, 0], hosts[1].log
        assert said(hosts, r"trained by (algo-1:\d+ algo-2:\d+)")
        assert all("a step" in host.log for host in hosts.all)
        assert (hosts[1].tree.paths.model / "1/saved_model.pb").is_file()
        assert not list(hosts[2].tree.paths.model.iterdir())


@need("tf_keras")
@pytest.mark.timeout(300)
def test_one_host_alone_has_a_parameter_server_and_a_worker_too(tmp_path: Path) -> None:
    code = {"part/train.py": "import beside\n" + PARAMETER_SERVER.replace("EPOCHS", "1"), "part/beside.py": ""}
    given = {"sagemaker_parameter_server_enabled": "true", "sagemaker_program": "part/train.py"}
    tree = make_tree(tmp_path, code=code, hyperparameters=given)
    tree.paths.model.mkdir()
    finished = tree.finish(tree.start(), 150)
    assert finished.status == 0, finished.err
    assert (tree.paths.model / "1/saved_model.pb").is_file()


@need("tf_keras")
@pytest.mark.timeout(300)
def test_parameter_server_job_names_the_dead_worker(tmp_path: Path) -> None:
    code = {"train.py": PARAMETER_SERVER.replace("EPOCHS", "10000")}
    given = {"sagemaker_parameter_server_enabled": "true"}
    with make_hosts(2, tmp_path, code=code, hyperparameters=given) as hosts:
        hosts.start()
        wait_until(lambda: all("a step" in host.log for host in hosts.all), "the first steps", 120)
        tasks = {pid: Path(f"/proc/{pid}/environ").read_text() for pid in hosts[2].processes()}
        (worker,) = [pid for pid, task in tasks.items() if '"task": {"type": "worker"' in task]
        os.kill(worker, signal.SIGKILL)
        assert hosts.wait(60) == [137, 137]
        assert hosts[1].failure.startswith("algo-2: TensorFlow's worker 1 was killed by SIGKILL"), hosts[1].failure


@need("tf_keras")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("strategy", ["parameter server", "mirrored"])
def test_a_tensorflow_host_that_dies_ends_the_others(tmp_path: Path, strategy: str) -> None:
    given = {"sagemaker_parameter_server_enabled": "true", "epochs": "1000"}
    code = {"train.py": PARAMETER_SERVER.replace("EPOCHS", "10000")}
    made = make_hosts(2, tmp_path, code=code, hyperparameters=given)
    with made if strategy == "parameter server" else sentiment(tmp_path, **given) as hosts:
        if strategy == "mirrored":
            write_reviews(hosts)
        hosts.start()
        time.sleep(30)
        hosts[2].kill()
        began = time.monotonic()
        assert all(hosts.wait(30))
        assert time.monotonic() - began < AT_MOST_S
        assert hosts[1].failure.startswith("algo-2 was lost"), hosts[1].failure
