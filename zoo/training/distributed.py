"""Several processes as torchrun starts them: one on each GPU, or several on CPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
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

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose backward averages gradients over the processes."""
        if self.size == 1 or not any(p.requires_grad for p in module.parameters()):
            return module
        return nn.parallel.DistributedDataParallel(module, forward_sync_buffers=False)

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
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Group(distributed.get_rank(), size)
        distributed.barrier()  # nobody leaves while another still talks to it
    finally:
        distributed.destroy_process_group()
