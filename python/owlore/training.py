"""A training from its job to its weights: the loop over batches, held-out losses, checkpoints, and a way to stop."""

import math
import os
import resource
import sys
import time
from contextlib import nullcontext
from typing import Callable, Optional, TypeVar

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from .checkpoint import FullDisk, Places, read_state, read_weights, write_state, write_weights
from .events import Events
from .job import Batches, Weight
from .optimizer import OwLore
from .parallel import Parallel

# Between two looks for a file.
PAUSE = 0.02

T = TypeVar("T")


class Training:
    """A job in this process."""

    def __init__(self, job: dict, parallel: Parallel, events: Events) -> None:
        self.job = job
        self.parallel = parallel
        self.events = events
        self.options = job["optimizer"]
        # the first process is told of others, if they are full
        self.places = Places(job["checkpoints"], job["folder"])
        self.steps: int = job["steps"]
        self.data = Batches(job["folder"], **job["data"])
        self.held_out = Batches(job["folder"], **job["heldOut"])
        # where it begins
        self.step: int = job["start"]["step"]
        self.calls: int = job["start"]["calls"]
        # JSON has null for a sum that is not finite
        self.loss_sum = math.nan if job["start"]["lossSum"] is None else job["start"]["lossSum"]
        self.state_bytes: int = job["start"]["stateBytes"]
        self.held_out_at: Optional[int] = job["start"]["heldOutAt"]
        # of the held-out losses after a step the lowest, and how many after it were not lower
        lowest = job["start"]["lowest"]
        self.lowest = math.inf if lowest is None else lowest
        self.not_lower: int = job["start"]["notLower"]
        # whether the weights as they are now have the lowest
        self.is_best = False

    def run(self) -> None:
        self._prepare()
        parallel, steps = self.parallel, self.steps
        self.events.send(
            "begin",
            torch=torch.__version__,
            processes=parallel.world,
            parallel=parallel.kind,
            backend=parallel.backend,
            device=torch.cuda.get_device_name() if parallel.device.type == "cuda" else "cpu",
        )
        if self.calls == 0:
            self._evaluate_if_due()
        # a held-out loss that this has broken off must be computed before the next step
        if not self._is_over() and self._is_told_to_stop():
            self.events.send("stopped", step=self.step)
            return
        next_batch = 0
        while not self._is_over():
            next_batch = self._step(next_batch)
            self._evaluate_if_due()
            # after the last step only the weights are left to be written
            if self._is_over():
                break
            is_stopped = self._is_told_to_stop()
            is_due = self.job["saveEvery"] is not None and self.step % self.job["saveEvery"] == 0
            if is_stopped or is_due or self.is_best:
                self._save()
            if is_stopped:
                self.events.send("stopped", step=self.step)
                return
        if self.held_out_at != self.step:
            self._evaluate(until_stopped=False)
        model = self._until_written(self._write_weights)
        self.events.send("done", model=model, skipped=self.optimizer.skipped)

    def _is_over(self) -> bool:
        patience = self.job["patience"]
        return self.step == self.steps or (patience is not None and self.not_lower >= patience)

    def _prepare(self) -> None:
        """Loads the model, and what a training that goes on has saved of itself."""
        job, parallel = self.job, self.parallel
        # the model may be a stranger's: no code that comes with it is run, and no pickle of it is opened
        loaded = AutoModelForCausalLM.from_pretrained(
            job["model"], dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
        loaded.config.use_cache = False
        for module in loaded.modules():
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.0
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if job["recompute"]:
            is_new = hasattr(loaded, "activation_checkpointing_enable")
            enable = loaded.activation_checkpointing_enable if is_new else loaded.gradient_checkpointing_enable
            enable({"use_reentrant": False})
            # transformers has the embedding's output ask for a gradient, for which all blocks below the first that is on would run backward
            loaded.disable_input_require_grads()
        resume = job["resume"]
        if resume is not None:
            tensors = {weight["variable"]: weight for weight in job["weights"]}

            @torch.no_grad()
            def set_weight(name: str, values: torch.Tensor) -> None:
                param = loaded.get_parameter(tensors[name]["tensor"])
                param.copy_(values.t() if tensors[name]["transposed"] else values)

            read_weights(job["checkpoints"], resume["model"], job["layers"], set_weight)
        self.model = parallel.wrap(loaded, job["blocks"])
        self.weights = [self._weight_of(entry) for entry in job["weights"]]
        self.optimizer = OwLore(self.options, parallel)
        if resume is not None:
            pairs = [
                pair
                for saved, layer in zip(resume["model"], job["layers"], strict=True)
                for pair in zip(saved["weights"], layer["weights"], strict=True)
            ]
            read_state(job["checkpoints"], resume["optimizer"], dict(pairs), self.optimizer, self.weights)

    def _weight_of(self, entry: dict) -> Weight:
        projection = entry["projection"]
        param = self.model.get_parameter(entry["tensor"])
        side = None
        if projection is not None:
            is_left = (projection["side"] == "left") != entry["transposed"]
            side = "left" if is_left else "right"
        return Weight(
            **{key: entry[key] for key in ("variable", "tensor", "transposed", "block", "trains")},
            weight_decay=entry["weightDecay"],
            rate_factor=entry["rateFactor"],
            rank=0 if projection is None else projection["rank"],
            side=side,
            param=param,
        )

    def _blocks_on(self) -> list[str]:
        """The blocks of the coming step's period; all of them without a history."""
        history = self.job["blockHistory"]
        if history is None:
            return self.job["blocks"]
        return history["periods"][self.step // history["interval"]]

    def _step(self, next_batch: int) -> int:
        """One step of the optimizer; returns the number of the batch that comes next."""
        start = time.perf_counter()
        parallel, accumulate = self.parallel, self.options["accumulate"]
        if parallel.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        blocks = self._blocks_on()
        always_on = self.job["alwaysOn"]
        on = {w.variable for w in self.weights if w.trains and (w.block in blocks if w.block else always_on)}
        parallel.turn_on(self.weights, on)
        self.model.train()
        while self.calls < accumulate:
            is_last = self.calls == accumulate - 1
            with nullcontext() if is_last else parallel.gather_later():
                self.loss_sum += self._backward(*self.data[next_batch])
            next_batch += 1
            self.calls += 1
        loss = self.loss_sum / accumulate
        scheduled = self.options["stepRates"][self.step]
        learning_rate = self.optimizer.learning_rate(scheduled)
        trained = [weight for weight in self.weights if weight.variable in on]
        self.optimizer.step(trained, accumulate, scheduled, loss)
        self.step += 1
        self.calls, self.loss_sum, self.is_best = 0, 0.0, False
        self.state_bytes = max(self.state_bytes, self.optimizer.state_bytes)
        self.events.send(
            "step",
            step=self.step,
            loss=loss,
            learningRate=learning_rate,
            blocks=[block for block in self.job["blocks"] if block in blocks],
            seconds=time.perf_counter() - start,
            peakBytes=self._peak_bytes(),
            stateBytes=self.state_bytes,
        )
        return next_batch

    def _backward(self, ids: torch.Tensor, labels: torch.Tensor) -> float:
        """Adds the gradients of a batch's mean loss to those that are there; returns that loss."""
        parallel = self.parallel
        counted = max(1, int((labels >= 0).sum()))
        total = self._sum_of_losses(self.parallel.forward, *parallel.own_rows(ids, labels))
        # averaged over all processes, while each has its rows' part of the sum
        (total * (parallel.world / counted)).backward()
        return parallel.sum(total.detach()).item() / counted

    @staticmethod
    def _sum_of_losses(model: torch.nn.Module, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = model(input_ids=ids, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=-100, reduction="sum")

    def _evaluate_if_due(self) -> None:
        is_due = self.step % self.job["evaluateEvery"] == 0 and self.held_out_at != self.step
        if is_due and self.step < self.steps:
            self._evaluate(until_stopped=True)

    @torch.no_grad()
    def _evaluate(self, until_stopped: bool) -> None:
        """The mean loss over all held-out tokens; if the training is to stop, it is left to the one that goes on."""
        parallel = self.parallel
        total = torch.zeros((), dtype=torch.float64, device=parallel.device)
        counted = 0
        self.model.eval()
        for index in range(len(self.held_out)):
            if until_stopped and self._is_told_to_stop():
                break
            ids, labels = self.held_out[index]
            total += self._sum_of_losses(self.model, *parallel.own_rows(ids, labels))
            counted += int((labels >= 0).sum())
        else:
            loss = parallel.sum(total).item() / max(1, counted)
            self.held_out_at = self.step
            self.events.send("heldOut", step=self.step, loss=loss)
            if self.job["keepBest"] and self.step > 0:
                self.is_best = loss < self.lowest
                self.lowest, self.not_lower = (loss, 0) if self.is_best else (self.lowest, self.not_lower + 1)
        parallel.drop_gathered()

    def _is_told_to_stop(self) -> bool:
        return self.parallel.first_says(os.path.exists(os.path.join(self.places.partial, "stop")))

    def _save(self) -> None:
        """Saves a checkpoint, and waits until the command has made it one: only then may files of older ones go."""
        model, optimizer = self._until_written(
            lambda: (self._write_weights(), write_state(self.places, self.optimizer, self.weights))
        )
        self.events.send(
            "checkpoint", step=self.step, model=model, optimizer=optimizer, stateBytes=self.state_bytes
        )
        saved = os.path.join(self.places.partial, f"saved-{self.step}")
        while not self.parallel.first_says(os.path.exists(saved)):
            time.sleep(PAUSE)

    def _write_weights(self) -> list[dict]:
        return write_weights(self.places, self.job["layers"], self.weights, self.parallel)

    def _until_written(self, write: Callable[[], T]) -> T:
        """Writes files; all of them again, after each answer of the command, while it has no room for one. They may have another place then."""
        while True:
            try:
                return write()
            except FullDisk as full:
                self.events.send("full", path=full.path, reason=full.reason)
            # not one collective for all of the time, for which it has a limit
            while not self.parallel.first_says((answer := self.events.answer()) is not None):
                time.sleep(PAUSE)
            if answer is not None:
                self.places = Places(answer["checkpoints"], answer["folder"])

    def _peak_bytes(self) -> int:
        """Of the step on a GPU; without one, the most memory that this process ever had."""
        if self.parallel.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
