"""Files of checkpoints in tfjs-owlore's format (docs/checkpoints.md): tensors, under tfjs's names and in its layout.

The command that has started the training writes the file that makes them a checkpoint.
"""

import errno
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable, Optional

import torch
from safetensors.torch import load_file, save

from .job import Weight
from .optimizer import OwLore, State
from .parallel import Parallel

HASH_DIGITS = 32
# Errors of a full disk, and of a quota that is used up.
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Places:
    """The folder of checkpoints, and one on the same disk for files that are not complete."""

    checkpoints: str
    partial: str


class FullDisk(Exception):
    """The first process has no room for a file. All of them raise it, so that they can go on together; the first one knows which file."""

    def __init__(self, error: Optional[OSError]) -> None:
        super().__init__("no room for a file" if error is None else str(error))
        self.path = "" if error is None else error.filename
        self.reason = "" if error is None else error.strerror


def write_tensors(places: Places, tensors: dict[str, torch.Tensor], parallel: Parallel) -> str:
    """Writes a file by the first process, as `_write` does; returns its name there. All processes take part.

    Raises FullDisk in all of them if there is no room.
    """
    name, full = "", None
    if parallel.rank == 0:
        try:
            name = _write(places, tensors)
        except OSError as error:
            if error.errno not in FULL:
                raise
            full = error
    if parallel.first_says(full is not None):
        raise FullDisk(full) from full
    return name


def _write(places: Places, tensors: dict[str, torch.Tensor]) -> str:
    """Writes a file that is named by its bytes, and is on the disk when this returns; one that is there with these bytes stays."""
    data = save({name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
    name = f"{digest}.safetensors"
    path = os.path.join(places.checkpoints, name)
    if _digest_of(path) == digest:
        return name
    partial = os.path.join(places.partial, name)
    try:
        os.makedirs(places.checkpoints, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            os.remove(partial)
        # that of a full disk does not say where
        raise OSError(error.errno, error.strerror, error.filename or partial) from error
    return name


def _digest_of(path: str) -> Optional[str]:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_DIGITS]
    except FileNotFoundError:
        return None


def write_weights(places: Places, layers: list[dict], weights: list[Weight], parallel: Parallel) -> list[dict]:
    """Writes the weights of each layer; returns the entry `model` of a checkpoint. All processes take part, the first one writes."""
    by_name = {weight.variable: weight for weight in weights}
    entries = []
    for layer in layers:
        tensors = {}
        for name in layer["weights"]:
            weight = by_name[name]
            whole = parallel.whole(weight.param)
            if parallel.rank == 0:
                tensors[name] = weight.to_tfjs(whole)
        entries.append({**layer, "file": write_tensors(places, tensors, parallel)})
    return entries


def read_weights(folder: str, saved: list[dict], layers: list[dict], set_weight: Callable) -> None:
    """Calls `set_weight` with tfjs's name of each weight and its values, which are those of the same place in the checkpoint."""
    for entry, layer in zip(saved, layers, strict=True):
        tensors = load_file(os.path.join(folder, entry["file"]))
        for saved_name, name in zip(entry["weights"], layer["weights"], strict=True):
            set_weight(name, tensors[saved_name])


def write_state(places: Places, optimizer: OwLore, weights: list[Weight]) -> dict:
    """Writes the optimizer's state; returns `counters` and `files`. All processes take part, the first one writes."""
    parallel = optimizer.parallel
    tensors: dict[str, torch.Tensor] = {}
    counters: dict[str, object] = {
        "iter": optimizer.iterations,
        "owlore.accumulated": 0,
        "owlore.skipped": optimizer.skipped,
    }
    if optimizer.halvings:
        counters["owlore.halvings"] = optimizer.halvings
    for weight in weights:
        state = optimizer.states.get(weight.variable)
        if state is None:
            continue
        name = weight.variable
        for suffix, moment in (("moment1", state.first), ("moment2", state.second)):
            whole = moment if weight.rank else parallel.whole_like(moment, weight.param)
            tensors[f"{name}/owlore.{suffix}"] = weight.to_tfjs(whole)
        if state.basis is not None:
            tensors[f"{name}/owlore.basis"] = state.basis
        # a place of -1: the state is found by the variable's name
        counters[f"{name}/owlore.clocks"] = [state.adam_steps, state.basis_steps, -1, 0]
    return {"counters": counters, "files": [write_tensors(places, tensors, parallel)]}


def read_state(
    folder: str, saved: dict, names: dict[str, str], optimizer: OwLore, weights: list[Weight]
) -> None:
    """Gives the optimizer the state of a checkpoint. `names` has tfjs's names of weights by those in the checkpoint."""
    parallel = optimizer.parallel
    counters = saved["counters"]
    tensors = {
        name: tensor
        for file in saved["files"]
        for name, tensor in load_file(os.path.join(folder, file)).items()
    }
    optimizer.iterations = counters["iter"]
    optimizer.skipped = counters["owlore.skipped"]
    optimizer.halvings = counters.get("owlore.halvings", 0)
    before = {own: name for name, own in names.items()}
    for weight in weights:
        name = before[weight.variable]

        def find(suffix: str) -> Optional[torch.Tensor]:
            tensor = tensors.get(f"{name}/owlore.{suffix}")
            return None if tensor is None else tensor.to(parallel.device)

        clocks = counters.get(f"{name}/owlore.clocks")
        whole_sum, projected_sum = find("gradient"), find("projectedGradient")
        if whole_sum is None:
            whole_sum = _sum_of_terms(name, tensors, weight, parallel)
        if whole_sum is not None:
            optimizer.restored_sums[weight.variable] = ("whole", weight.to_tfjs(whole_sum))
        if projected_sum is not None:
            optimizer.restored_sums[weight.variable] = ("projected", weight.to_tfjs(projected_sum))
        moments = [find("moment1"), find("moment2")]
        if moments[0] is None:
            continue
        own = [weight.to_tfjs(moment) for moment in moments]
        if not weight.rank:
            own = [parallel.own_part(moment, weight.param) for moment in own]
        first, second = (moment.contiguous() for moment in own)
        optimizer.states[weight.variable] = State(first, second, clocks[0], find("basis"), clocks[1])


def _sum_of_terms(
    name: str, tensors: dict[str, torch.Tensor], weight: Weight, parallel: Parallel
) -> Optional[torch.Tensor]:
    """A sum of gradients that tfjs keeps in terms (src/llama/vocabulary_gradient.ts), in tfjs's layout; None if there is none."""
    prefix = f"{name}/owlore.terms."
    terms = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not terms:
        return None
    rows, columns, axis = (int(x) for x in terms["shape"])
    param = weight.to_tfjs(parallel.whole(weight.param.detach())).cpu()
    by_token = param if axis == 0 else param.t()
    total = torch.zeros_like(by_token)
    if "dense.values" in terms:
        total += terms["dense.values"]
    if "lookUps.ids" in terms:
        total.index_add_(0, terms["lookUps.ids"].long(), terms["lookUps.rows"])
    if "softmaxes.hidden" in terms:
        hidden = terms["softmaxes.hidden"]
        weighted = hidden * terms["softmaxes.weights"][:, None]
        total += (by_token @ hidden.t() - terms["softmaxes.logSumExp"]).exp() @ weighted
    whole = total if axis == 0 else total.t()
    assert whole.shape == (rows, columns)
    return whole.to(parallel.device)
