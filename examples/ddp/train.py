"""A small network, trained by all processes as one, that goes on where an interrupted job stopped.

Hyperparameters: launcher=torchrun (or sagemaker_torch_distributed_enabled=true), epochs, step_ms (the least that a step
takes, to try how training scales).
"""

import argparse
import os
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

CHECKPOINT = Path("/opt/ml/checkpoints/last.pt")


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--step_ms", type=float, default=0)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    return parser.parse_args()


def main():
    args = parse()
    on_gpu = torch.cuda.is_available()
    # A pulled cable is noticed by nothing but this: the default is 30 minutes.
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(seconds=60))
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")

    torch.manual_seed(7)
    model = DistributedDataParallel(torch.nn.Linear(10, 1).to(device))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    first_epoch = resume(args.checkpoint, model, optimizer, device)
    truth = torch.arange(10.0, device=device)
    for epoch in range(first_epoch, args.epochs):
        for step in range(args.steps):
            began = time.monotonic()
            generator = torch.Generator(device).manual_seed((epoch * args.steps + step) * world + rank)
            x = torch.randn(32, 10, generator=generator, device=device)
            loss = torch.nn.functional.mse_loss(model(x).squeeze(1), x @ truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            time.sleep(max(0.0, args.step_ms / 1000 - (time.monotonic() - began)))
            if epoch == first_epoch and step == 0:
                print(f"first step of rank {rank} at {time.time():.3f}", flush=True)
        if rank == 0:
            print(f"epoch={epoch}; loss={loss.item():.4f};", flush=True)
            save(args.checkpoint, epoch + 1, model, optimizer)
        dist.barrier()
    print(f"rank {rank} of {world} ends with weights {model.module.weight.sum().item():.6f}", flush=True)
    if rank == 0:
        torch.save(model.module.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pt"))
    dist.destroy_process_group()


def resume(path, model, optimizer, device):
    """The epoch at which to go on."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    model.module.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["epoch"]


def save(path, epoch, model, optimizer):
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"epoch": epoch, "model": model.module.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    main()
