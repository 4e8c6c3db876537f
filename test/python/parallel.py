"""Prints the order in which python/owlore/parallel.py gathers the weights of blocks. Runs without torch: nothing here computes."""

import json
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
for name in [
    "numpy",
    "torch",
    *(
        f"torch.{name}"
        for name in ("distributed", "nn", "nn.parallel", "distributed.device_mesh", "distributed.fsdp", "distributed.tensor")
    ),
]:
    sys.modules[name] = MagicMock()


class Module:
    """What FSDP has made of a block, or of the model."""

    def __init__(self, name):
        self.name = name

    def unshard(self):
        gathered.append(self.name)

    def reshard(self):
        pass

    def get_submodule(self, name):
        return Module(name)

    def get_parameter(self, name):
        return MagicMock()


sys.modules["torch.distributed.fsdp"].FSDPModule = Module

from owlore.parallel import Parallel  # noqa: E402

gathered = []
parallel = Parallel.__new__(Parallel)
parallel.kind = "fsdp"
parallel.model = Module("model")
blocks = [*(f"layers.{i}" for i in range(8)), None]
weights = [
    SimpleNamespace(variable=str(i), tensor=str(i), block=block, param=MagicMock(requires_grad=True))
    for i, block in enumerate(blocks)
]
parallel.turn_on(weights, {"2"})
print(json.dumps(gathered))
