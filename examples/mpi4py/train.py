"""A line through points, fitted by all ranks as one: each has points of its own, and gradients are averaged.

Hyperparameters: launcher=mpi (or sagemaker_mpi_enabled=true), steps.
"""

import argparse
import json
import os

import numpy as np
from mpi4py import MPI


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args()
    comm = MPI.COMM_WORLD
    rank, world = comm.Get_rank(), comm.Get_size()
    x = np.random.default_rng(rank).normal(size=1000)
    y = 3 * x + 1
    weights, gradient = np.zeros(2), np.zeros(2)
    for step in range(args.steps):
        error = weights[0] * x + weights[1] - y
        comm.Allreduce(np.array([(error * x).mean(), error.mean()]), gradient)
        weights -= 0.1 * gradient / world
        if rank == 0 and step % 50 == 0:
            print(f"step={step}; loss={(error**2).mean():.6f};", flush=True)
    print(f"rank {rank} of {world} on {os.environ['SM_CURRENT_HOST']} has {weights.round(6).tolist()}", flush=True)
    if rank == 0:
        with open(os.path.join(os.environ["SM_MODEL_DIR"], "line.json"), "w") as stream:
            json.dump(weights.tolist(), stream)


if __name__ == "__main__":
    main()
