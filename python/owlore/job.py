"""A job as the command hands it over: a JSON file, and beside it files with the token ids of every batch."""

import json
import os
from dataclasses import dataclass
from typing import Optional

import numpy as np
import torch

FORMAT = "tfjs-owlore torch job"
VERSION = 1


def read_job(path: str) -> dict:
    """The contents of job.json, with the folder that it is in as `folder`."""
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    if job.get("format") != FORMAT or job.get("version") != VERSION:
        raise ValueError(f"{path} is not a '{FORMAT}' of version {VERSION}")
    return {**job, "folder": os.path.dirname(os.path.abspath(path))}


@dataclass
class Weight:
    """A weight of the model, under its name there and under that in tfjs.

    A kernel is [in, out] in tfjs and [out, in] here (`transposed`). `side` is of the matrix as it is here.
    """

    variable: str
    tensor: str
    transposed: bool
    block: Optional[str]
    trains: bool
    weight_decay: float
    rate_factor: float
    rank: int
    side: Optional[str]
    param: torch.nn.Parameter

    def to_tfjs(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor of the weight's form, such as a moment, as tfjs has it, and back."""
        return tensor.t() if self.transposed else tensor


class Batches:
    """Batches of token ids and labels; a label is the next token, or -100 where nothing is learned."""

    def __init__(self, folder: str, file: str, columns: int, rows: list[int]) -> None:
        self.rows = rows
        self._columns = columns
        path = os.path.join(folder, file)
        # numpy maps no empty file
        self._numbers = np.memmap(path, dtype="<i4", mode="r") if rows else np.zeros(0, "<i4")
        self._starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)]) * 2 * columns

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and labels, int64 [rows, columns], without the trailing columns that have no label in any row."""
        numbers = self._numbers[self._starts[index] : self._starts[index + 1]]
        both = torch.from_numpy(numbers.astype(np.int64)).view(2, self.rows[index], self._columns)
        learned = (both[1] >= 0).any(dim=0).nonzero()
        # what is behind the last label is seen by nothing that counts: attention looks back only
        used = int(learned[-1]) + 1 if len(learned) else 1
        return both[0, :, :used], both[1, :, :used]
