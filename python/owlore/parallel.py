"""One process or several: which rows of a batch are whose, and how gradients, bases and weights go between them."""

import os
from contextlib import nullcontext
from typing import ContextManager, Iterable

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from .job import Weight


class Parallel:
    """The processes of a training: nccl between GPUs, gloo without any.

    `ddp`: each has the whole model, and gradients are averaged. `fsdp`: each has a part of every weight, cut along the first axis.
    """

    def __init__(self, kind: str) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.kind = kind if self.world > 1 else "single"
        self.backend = None
        self.device = torch.device("cpu")
        if torch.cuda.is_available():
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(self.device)
        if self.world > 1:
            self.backend = "nccl" if self.device.type == "cuda" else "gloo"
            dist.init_process_group(self.backend)

    def end(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()

    def wrap(self, model: nn.Module, blocks: Iterable[str]) -> nn.Module:
        """The model on its device; with `fsdp` its parameters are new ones."""
        self.model = model
        self.blocks = list(blocks)
        if self.kind != "fsdp":
            model.to(self.device)
            self.forward: nn.Module = model
            return model
        mesh = init_device_mesh(self.device.type, (self.world,))
        for name in self.blocks:
            fully_shard(model.get_submodule(name), mesh=mesh)
        fully_shard(model, mesh=mesh)
        self.forward = model
        return model

    def turn_on(self, weights: list[Weight], on: set[str]) -> None:
        """Has exactly the weights with variables in `on` train, from the next batch on."""
        flags = {weight.tensor: weight.variable in on for weight in weights}
        # not a set, whose order differs between processes: all must gather the same block at a time
        changed = list(dict.fromkeys(w.block for w in weights if w.param.requires_grad != flags[w.tensor]))
        for block in changed:
            of_block = [weight for weight in weights if weight.block == block]
            if self.kind == "fsdp":
                self._flag_whole(block, of_block, flags)
            for weight in of_block:
                weight.param.requires_grad_(flags[weight.tensor])
                weight.param.grad = None
        if self.kind == "ddp" and (changed or self.forward is self.model):
            # DDP looks at requires_grad once, when it is made. The old one is dropped first, with its hooks.
            self.forward = self.model
            self.forward = DistributedDataParallel(
                self.model,
                device_ids=[self.device.index] if self.device.type == "cuda" else None,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )

    def _flag_whole(self, block: str | None, weights: list[Weight], flags: dict[str, bool]) -> None:
        """Flags the gathered weights of a block as well: FSDP makes them once, and keeps the flag that they had then."""
        module = self.model if block is None else self.model.get_submodule(block)
        assert isinstance(module, FSDPModule)
        module.unshard()
        for weight in weights:
            self.model.get_parameter(weight.tensor).requires_grad_(flags[weight.tensor])
        module.reshard()

    def gather_later(self) -> ContextManager[object]:
        """For all batches of a step but its last: their gradients are added up where they are."""
        is_ddp = isinstance(self.forward, DistributedDataParallel)
        return self.forward.no_sync() if is_ddp else nullcontext()

    def drop_gathered(self) -> None:
        """After passes without a backward one, which would have dropped gathered weights: they would be used again, out of date."""
        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def own_rows(self, ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's rows of a batch. One that gets none computes a row that counts for nothing, so that all take part."""
        own_ids = ids.tensor_split(self.world)[self.rank]
        own_labels = labels.tensor_split(self.world)[self.rank]
        if len(own_ids) == 0:
            own_ids, own_labels = ids[:1], torch.full_like(labels[:1], -100)
        return own_ids.to(self.device), own_labels.to(self.device)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def first_says(self, flag: bool) -> bool:
        """What the first process says."""
        if self.world == 1:
            return flag
        said = torch.tensor([int(flag)], device=self.device)
        dist.broadcast(said, 0)
        return bool(said.item())

    def share(self, tensor: torch.Tensor, source: int) -> None:
        """Gives all processes what one has."""
        if self.world > 1:
            dist.broadcast(tensor, source)

    def owner(self, index: int) -> int:
        """The process that computes the basis of the matrix with this number."""
        return index % self.world

    @staticmethod
    def local(tensor: torch.Tensor) -> torch.Tensor:
        """This process's part of a tensor, which shares its memory: all of it without FSDP."""
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor

    @staticmethod
    def whole(tensor: torch.Tensor) -> torch.Tensor:
        """All of a tensor. All processes must ask for it."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def whole_like(self, part: torch.Tensor, param: torch.Tensor) -> torch.Tensor:
        """All of a tensor that is cut as a parameter is. All processes must ask for it."""
        if not isinstance(param, DTensor):
            return part
        return DTensor.from_local(
            part, param.device_mesh, param.placements, shape=param.shape, stride=param.stride()
        ).full_tensor()

    def own_part(self, whole: torch.Tensor, param: torch.Tensor) -> torch.Tensor:
        """This process's part of a tensor of a parameter's shape."""
        start, stop = self.own_slice(param)
        return whole[start:stop] if isinstance(param, DTensor) else whole

    def own_slice(self, param: torch.Tensor) -> tuple[int, int]:
        """Which rows of a parameter this process has; FSDP cuts as `torch.chunk` does."""
        rows = param.shape[0] if param.dim() else 1
        if not isinstance(param, DTensor):
            return 0, rows
        size = -(-rows // self.world)
        return min(self.rank * size, rows), min((self.rank + 1) * size, rows)
