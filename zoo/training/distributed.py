"""Several processes as torchrun starts them: one on each GPU, or several on CPUs."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

__all__ = ["ALONE", "Group", "join"]


@dataclass(frozen=True)
class Group:
    """This process's number among how many; (0, 1) where there is only one."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def share(self, module: nn.Module) -> None:
        """Let a module be in every process as it is in the first."""
        if self.size > 1:
            for value in module.state_dict().values():
                distributed.broadcast(value, 0)

    def average(self, parameters: Iterable[torch.Tensor]) -> None:
        """Let each gradient be its mean over the processes.

        `DistributedDataParallel` would do the same while the backward pass goes on; its threads
        outlive the group, and now and then abort a process that ends.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        together = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(together)
        parts = (together / self.size).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def mean(self, value: torch.Tensor) -> float:
        """The mean of a number over the processes."""
        if self.size == 1:
            return float(value)
        total = value.detach().double().clone()
        distributed.all_reduce(total)
        return float(total) / self.size

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()


ALONE = Group()


@contextmanager
def join(device: str) -> Iterator[Group]:
    """The group that torchrun's environment (RANK, WORLD_SIZE) describes, else `ALONE`.

    NCCL on CUDA, gloo on CPUs; each process takes the GPU of its LOCAL_RANK.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    # An optimiser's first step imports this module, whose functions' defaults are the group of that
    # moment. Imported now, it has none to keep: with the group its threads end, before Python does.
    importlib.import_module("torch.distributed.nn")
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Group(distributed.get_rank(), size)
        distributed.barrier()  # nobody leaves while another still talks to it
    finally:
        distributed.destroy_process_group()
