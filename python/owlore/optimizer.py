"""GaLore's Algorithm 2 with AdamW, as src/owlore/optimizer/ has it: for a matrix W with the gradient G (`left`; `right` is its mirror image)

    P <- leading left singular vectors of G      in the first step, then after every T of the matrix's own steps
    R = P'G
    M <- b1 M + (1 - b1) R
    V <- b2 V + (1 - b2) R*R
    N = M^ / (sqrt(V^) + e)                      with the bias corrections of the weight's own clock
    W <- W - n (a P N + l W)

A weight that is not projected has R = G and N in place of a P N: that is AdamW. State is kept only of weights that train now.
"""

import math
from dataclasses import dataclass
from typing import Optional

import torch

from .bases import new_basis
from .job import Weight
from .parallel import Parallel


@dataclass
class State:
    """What is kept of a weight. Moments have R's form, or of a weight that is not projected that of this process's part."""

    first: torch.Tensor
    second: torch.Tensor
    adam_steps: int = 0
    basis: Optional[torch.Tensor] = None
    basis_steps: int = 0


class NonFinite(Exception):
    """A gradient or a loss is NaN or infinite; nothing was changed."""


class OwLore:
    """The optimizer. `options` are those of a job."""

    def __init__(self, options: dict, parallel: Parallel) -> None:
        self.options = options
        self.parallel = parallel
        self.states: dict[str, State] = {}
        self.iterations = 0
        self.skipped = 0
        self.halvings = 0
        # sums of gradients, whole or projected, of calls that another process has made of the step that goes on
        self.restored_sums: dict[str, tuple[str, torch.Tensor]] = {}

    @property
    def state_bytes(self) -> int:
        """Bytes of moments and bases in this process."""
        tensors = [t for s in self.states.values() for t in (s.first, s.second, s.basis)]
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)

    def learning_rate(self, scheduled: float) -> float:
        return scheduled / 2**self.halvings

    @torch.no_grad()
    def step(self, weights: list[Weight], calls: int, scheduled_rate: float, loss: float) -> None:
        """One step of the sums of `calls` gradients in `param.grad`, which it frees. The state of all other weights is freed first.

        A loss that is not finite counts as such a gradient does.
        """
        weights = [weight for weight in weights if weight.param.grad is not None]
        names = {weight.variable for weight in weights}
        self.states = {name: state for name, state in self.states.items() if name in names}
        for weight in weights:
            self._to_mean(weight, calls)
        clip = self._clip_or_skip(weights, loss)
        if clip is not None:
            bases = self._due_bases(weights)
            for weight in weights:
                self._update(weight, bases.get(weight.variable), clip, calls, scheduled_rate)
        self.restored_sums = {}
        for weight in weights:
            weight.param.grad = None
        self.iterations += 1

    def _to_mean(self, weight: Weight, calls: int) -> None:
        gradient = self.parallel.local(weight.param.grad)
        form, restored = self.restored_sums.get(weight.variable, ("", None))
        if form == "whole":
            gradient += self.parallel.own_part(restored, weight.param)
        if calls > 1:
            gradient /= calls

    def _clip_or_skip(self, weights: list[Weight], loss: float) -> Optional[float]:
        """The factor for all gradients of the step; None if it is to be skipped."""
        action, clip_norm = self.options["nonFinite"], self.options["clipNorm"]
        if action == "ignore" and clip_norm is None:
            return 1.0
        squares = torch.stack([self.parallel.local(w.param.grad).square().sum() for w in weights])
        if self.parallel.kind == "fsdp":
            self.parallel.sum(squares)
        if action != "ignore":
            wrong = [w.tensor for w, x in zip(weights, squares.isfinite().tolist()) if not x]
            if wrong or not math.isfinite(loss):
                if action == "throw":
                    what = f"gradient of '{wrong[0]}'" if wrong else "loss"
                    raise NonFinite(f"the {what} is NaN or infinite; no weight was changed")
                self.skipped += 1
                self.halvings += action == "halve"
                return None
        if clip_norm is None:
            return 1.0
        # as PyTorch's
        return min(1.0, clip_norm / (math.sqrt(squares.sum().item()) + 1e-6))

    def _due_bases(self, weights: list[Weight]) -> dict[str, torch.Tensor]:
        """New bases, each computed by one process, from the whole gradient, and given to all: so they are the same everywhere."""
        due = [weight for weight in weights if weight.rank and self._is_due(weight)]
        own: dict[str, torch.Tensor] = {}
        for index, weight in enumerate(due):
            whole = self.parallel.whole(weight.param.grad)
            if self.parallel.owner(index) == self.parallel.rank:
                own[weight.variable] = whole
        bases = {}
        for name, gradient in own.items():
            weight = next(each for each in due if each.variable == name)
            state = self.states.get(name)
            previous = None if state is None else state.basis
            bases[name] = new_basis(self.options["basis"], gradient, weight.rank, weight.side, previous)
        for index, weight in enumerate(due):
            size = weight.param.shape[0 if weight.side == "left" else 1]
            if weight.variable not in bases:
                like = self.parallel.local(weight.param)
                bases[weight.variable] = torch.empty(size, weight.rank, dtype=like.dtype, device=like.device)
            self.parallel.share(bases[weight.variable], self.parallel.owner(index))
        return bases

    def _is_due(self, weight: Weight) -> bool:
        state = self.states.get(weight.variable)
        return state is None or state.basis_steps >= self.options["refreshInterval"]

    def _update(
        self, weight: Weight, basis: Optional[torch.Tensor], clip: float, calls: int, scheduled_rate: float
    ) -> None:
        options = self.options
        state = self.states.get(weight.variable)
        if state is not None and basis is not None:
            state.basis, state.basis_steps = basis, 0
        used = basis if basis is not None else (state.basis if state is not None else None)
        r = self._project(weight, used, calls)
        if clip != 1:
            r = r * clip
        if state is None:
            state = State(torch.zeros_like(r), torch.zeros_like(r), basis=used)
            self.states[weight.variable] = state
        state.adam_steps += 1
        state.basis_steps += used is not None

        state.first.lerp_(r, 1 - options["beta1"])
        state.second.lerp_(r * r, 1 - options["beta2"])
        correction1 = 1 - options["beta1"] ** state.adam_steps
        correction2 = math.sqrt(1 - options["beta2"] ** state.adam_steps)
        rate = self.learning_rate(scheduled_rate) * weight.rate_factor
        size = rate * (1 if used is None else options["scale"]) * correction2 / correction1
        n = state.first / (state.second.sqrt() + options["epsilon"] * correction2) * size

        part = self.parallel.local(weight.param)
        part *= 1 - rate * weight.weight_decay
        part -= self._project_back(weight, used, n)

    def _project(self, weight: Weight, basis: Optional[torch.Tensor], calls: int) -> torch.Tensor:
        """R; with FSDP of the gathered gradient."""
        if basis is None:
            return self.parallel.local(weight.param.grad)
        whole = self.parallel.whole(weight.param.grad)
        r = basis.t() @ whole if weight.side == "left" else whole @ basis
        form, restored = self.restored_sums.get(weight.variable, ("", None))
        return r + restored / calls if form == "projected" else r

    def _project_back(self, weight: Weight, basis: Optional[torch.Tensor], n: torch.Tensor) -> torch.Tensor:
        """P N or N P', of it this process's rows."""
        if basis is None:
            return n
        start, stop = self.parallel.own_slice(weight.param)
        return basis[start:stop] @ n if weight.side == "left" else n[start:stop] @ basis.t()
