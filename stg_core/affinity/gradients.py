"""Affinities from the gradients of every task, recorded during one joint training.

At a recorded step every task i has a gradient g_i: of its own loss L_i (without task weight) by the
shared parameters θ, which are all but those of the output heads. An update by g_i alone moves θ to
θ_i. For a target j, on the same mini-batch with the same images and dropout masks:

    tag      Z[i, j] = 1 − L_j(θ_i) / L_j(θ)        Fifty et al. 2021, section 3
    etap     z[i, j] = g_j · (θ − θ_i) / L_j(θ)     TAG to first order, without a forward pass
    cosine   c[i, j] = g_i · g_j / (|g_i| |g_j|)    of weights with two or more dimensions

The learning rate is constant here, so dividing by it, as others do, would change the unit only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from stg_core.affinity.settings import EVERY, checked_methods
from stg_core.system.errors import UserError
from stg_core.training.callbacks import Callback, Training
from stg_core.training.inputs import autocast
from stg_core.training.speed import clock_of

Floats = NDArray[np.float64]

BLOCK = 4_096  # numbers


class StepRecorder(Callback):
    """What is recorded at every `every`-th step of a joint training: the frame of each recorder.

    update: how a gradient moves the parameters: "optimiser" as the training's own would, with its
    state so far (Adam's moments are those of the joint gradient), "gradient" by it times the
    learning rate. The training is that without the recorder, up to rounding: at a recorded step its
    gradient is the sum of those of the tasks, instead of that of the sum. Its checkpoint keeps what
    was recorded. Two tasks of which one has no label in the batch, or whose value is not defined,
    count in no mean of that step. Raises UserError while it trains, for a single task and a
    training of fewer than `every` steps.
    """

    moves_heads = False  # whether an update is tried on the output heads too

    def __init__(self, methods: Sequence[str], every: int, update: str) -> None:
        self.methods = checked_methods(methods, every, update)
        self.every, self.update = every, update
        self.steps = self.recorded_steps = 0
        self.seconds = 0.0  # of the recording, by `clock_of`
        self._sums: dict[str, Tensor] = {}  # by method, (E, T, T)
        self._counts: dict[str, Tensor] = {}
        self._trial: Trial | None = None
        self._drawn: list[Tensor] = []

    @property
    def history(self) -> dict[str, Floats]:
        """Mean of every epoch by method, (E, T, T); NaN where none was recorded."""
        return {m: (self._sums[m] / self._counts[m]).numpy() for m in self._sums}

    @property
    def affinity(self) -> dict[str, Floats]:
        """Mean over the recorded steps by method, (T, T): affinity[source, target]."""
        return {m: (self._sums[m].sum(0) / self._counts[m].sum(0)).numpy() for m in self._sums}

    def on_batch_start(self, training: Training) -> None:
        if self._trial is None or self._trial.training is not training:
            self._begin(training)
        if self._due(training):
            self._drawn = random_state(training.device)

    def on_losses(
        self, training: Training, points: Tensor, targets: Tensor, losses: Tensor
    ) -> bool:
        if not self._due(training):
            return False
        _wait_for(training.device)
        clock = clock_of(training.device)
        started = clock()
        assert self._trial is not None
        with same_random_numbers(training.device):
            found = self._affinities(self._trial, points, targets, losses)
        known = (~targets.isnan()).any(0).cpu()
        for method, values in found.items():
            values = values.cpu().double()
            counts = known[:, None] & known & values.isfinite()
            self._sums[method][training.epoch - 1] += values.where(counts, 0)
            self._counts[method][training.epoch - 1] += counts
        self.recorded_steps += 1
        self.seconds += clock() - started
        return True

    def state(self) -> dict[str, Any]:
        sums = {"sums": self._sums, "counts": self._counts}
        return {**sums, "recorded_steps": self.recorded_steps, "seconds": self.seconds}

    def restore(self, state: dict[str, Any]) -> None:
        if set(state["sums"]) == set(self.methods):
            self._sums, self._counts = state["sums"], state["counts"]
            self.recorded_steps, self.seconds = state["recorded_steps"], state["seconds"]

    def _due(self, training: Training) -> bool:
        done = (training.epoch - 1) * training.steps_per_epoch + training.step
        return done % self.every == 0

    def _begin(self, training: Training) -> None:
        n_tasks, epochs = len(training.spec.tasks), training.spec.epochs
        self.steps = training.steps_per_epoch * epochs
        if n_tasks < 2:
            raise UserError("Affinities come from training at least 2 tasks together in one model.")
        if self.every > self.steps:
            raise UserError(
                f"The training has {self.steps} steps, so that recording one in {self.every}"
                " records none. Record more often, or train for more epochs."
            )
        self._trial = Trial(training, self.update, self.moves_heads)
        self._prepare(self._trial, n_tasks)
        for method in self.methods:
            empty = torch.zeros(epochs, n_tasks, n_tasks, dtype=torch.float64)
            self._sums.setdefault(method, empty.clone())
            self._counts.setdefault(method, empty)

    def _prepare(self, trial: Trial, n_tasks: int) -> None:
        """Makes room for what a recorded step needs, which is kept: fresh memory is slow."""
        raise NotImplementedError

    def _affinities(
        self, trial: Trial, points: Tensor, targets: Tensor, losses: Tensor
    ) -> dict[str, Tensor]:
        """The matrices of one step by method, (T, T).

        It differentiates every loss once by `Trial.differentiate`, which leaves the joint gradient.
        """
        raise NotImplementedError


class AffinityRecorder(StepRecorder):
    """Records the affinities of `methods`, any of "tag", "cosine", "etap": see `StepRecorder`.

    Raises UserError while it trains, also for a model whose heads are not known (see
    `head_parameters`).

    Where the training computes in bf16, so does the lookahead, which rounds small updates: on the
    digits "tag" correlates 0.8 to 0.99 with itself in single precision, "etap" 0.999 with that.
    "cosine" holds the gradients of all T tasks, 4·T·|θ| bytes, "etap" twice as much, and "tag"
    alone one gradient only.
    """

    def __init__(
        self, methods: Sequence[str] = ("tag",), every: int = EVERY, update: str = "optimiser"
    ) -> None:
        super().__init__(methods, every, update)
        self._gradients = self._moves = torch.empty(0)

    def _prepare(self, trial: Trial, n_tasks: int) -> None:
        self._gradients = trial.rows(1 if self.methods == ("tag",) else n_tasks)
        self._moves = trial.rows(n_tasks if "etap" in self.methods else 0)

    def _affinities(
        self, trial: Trial, points: Tensor, targets: Tensor, losses: Tensor
    ) -> dict[str, Tensor]:
        before = losses.detach()
        gradients, moves = self._gradients, self._moves
        lookahead = []
        # A pass per source: on the CPU that is 6 to 8 times as fast as `vmap` over the sources,
        # whose convolutions have as many groups as there are sources.
        for source, loss in enumerate(losses.unbind()):
            gradient = gradients[source % len(gradients)]
            trial.differentiate(loss, gradient, source)
            if self.methods != ("cosine",):
                trial.move(gradient)
            if "tag" in self.methods:
                lookahead.append(1 - trial.losses(points, targets, self._drawn) / before)
            if "etap" in self.methods:
                trial.moved(moves[source])
        found = {"tag": torch.stack(lookahead)} if lookahead else {}
        if "cosine" in self.methods:
            found["cosine"] = cosines(gradients[:, : trial.n_weights])
        if "etap" in self.methods:
            found["etap"] = products(moves, gradients) / before
        return found


class Trial:
    """Copies of a model's shared parameters, on which an update is tried without making it.

    moves_heads: of the output heads too, as if they were shared.
    """

    def __init__(self, training: Training, update: str, moves_heads: bool = False) -> None:
        self.training = training
        model, optimizer = training.model, training.optimizer
        kept = [] if moves_heads else head_parameters(model, training.heads.n_outputs)
        heads = {id(p) for p in kept}
        shared = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and id(parameter) not in heads
        }
        self.heads = [p for p in model.parameters() if p.requires_grad and id(p) in heads]
        if not shared:
            raise UserError("The tasks of this model share no parameters, so none affects another.")
        # weights before biases and the like, so that `cosine` looks at the front of a gradient
        self.names = sorted(shared, key=lambda name: shared[name].ndim < 2)
        self.shared = [shared[name] for name in self.names]
        self.n_weights = sum(p.numel() for p in self.shared if p.ndim > 1)
        self.place = torch.cat([p.detach().flatten() for p in self.shared])
        self.copies = self.pieces(self.place)
        copy_of = {id(p): copy for p, copy in zip(self.shared, self.copies, strict=True)}
        groups = [
            {**group, "params": [copy_of[id(p)] for p in group["params"] if id(p) in copy_of]}
            for group in optimizer.param_groups
        ]
        self.optimizer: torch.optim.Optimizer
        if update == "optimiser":
            self.optimizer = type(optimizer)(groups)  # type: ignore[call-arg]
        else:
            plain = [{"params": group["params"], "lr": group["lr"]} for group in groups]
            self.optimizer = torch.optim.SGD(plain)
        self.keeps_state = update == "optimiser"

    def rows(self, count: int) -> Tensor:
        """Room for as many vectors of the shared parameters, (count, |θ|)."""
        return self.place.new_empty(count, len(self.place))

    def pieces(self, vector: Tensor) -> list[Tensor]:
        """A vector (|θ|,) as views, in shape and memory order one for each shared parameter."""
        sizes = [p.numel() for p in self.shared]
        parts = torch.split(vector, sizes)
        return [
            part.as_strided(p.shape, p.stride()) for p, part in zip(self.shared, parts, strict=True)
        ]

    def differentiate(self, loss: Tensor, out: Tensor, task: int) -> None:
        """Writes the gradient of a task's loss by the shared parameters, (|θ|,).

        It is added to the gradients of all parameters, with the weight of the task: the joint
        gradient is the sum of these, and a backward pass of its own would cost two thirds of a
        step.
        """
        weights = self.training.spec.task_weights
        # One loss by one: 1.4 times as fast on the CPU as all with `is_grads_batched`.
        found = torch.autograd.grad(
            loss,
            [*self.shared, *self.heads],
            retain_graph=task < len(weights) - 1,
            allow_unused=True,
            materialize_grads=True,
        )
        for piece, gradient in zip(self.pieces(out), found, strict=False):
            piece.copy_(gradient)
        for parameter, gradient in zip([*self.shared, *self.heads], found, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.add_(gradient, alpha=weights[task])

    def move(self, gradient: Tensor) -> None:
        """Sets the copies to θ_i, where the update by a gradient (|θ|,) alone leads."""
        for own, copy, piece in zip(self.shared, self.copies, self.pieces(gradient), strict=True):
            copy.copy_(own.detach())
            copy.grad = piece
            if self.keeps_state:
                state = self.training.optimizer.state[own]
                self.optimizer.state[copy] = {name: _copied(value) for name, value in state.items()}
        self.optimizer.step()

    def moved(self, out: Tensor) -> None:
        """Writes θ − θ_i, (|θ|,)."""
        for own, copy, piece in zip(self.shared, self.copies, self.pieces(out), strict=True):
            torch.sub(own.detach(), copy, out=piece)

    @torch.no_grad()
    def losses(self, points: Tensor, targets: Tensor, drawn: list[Tensor]) -> Tensor:
        """The task losses (T,) at θ_i with the heads as they are; statistics of batch norm stay."""
        training = self.training
        buffers = {name: buffer.clone() for name, buffer in training.model.named_buffers()}
        moved = dict(zip(self.names, self.copies, strict=True))
        set_random_state(training.device, drawn)
        with autocast(training.device, training.precision):
            logits = functional_call(training.model, {**buffers, **moved}, (points,))
        return training.heads.losses(logits.float(), targets)


def head_parameters(model: nn.Module, n_outputs: int) -> list[nn.Parameter]:
    """The parameters that are not shared: of `model.heads`, else of the last layer, with O outputs.

    A backbone of your own tells with an attribute `heads`, a module, which are its heads, unless
    they are its last `nn.Linear`, with all outputs of the tasks. Raises UserError without either.
    """
    heads = getattr(model, "heads", None)
    if not isinstance(heads, nn.Module):
        linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
        if not linear or linear[-1].out_features != n_outputs:
            raise UserError(
                f"Which parameters of {type(model).__name__} are its output heads? Its last Linear"
                f" layer does not have {n_outputs} outputs: give the model an attribute `heads`,"
                " the module that holds them."
            )
        heads = linear[-1]
    return list(heads.parameters())


def products(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the long rows of a (S, P) and b (T, P), (S, T)."""
    # in blocks: in single precision that is ten times as exact, and no slower
    n_blocks = a.shape[1] // BLOCK
    end = n_blocks * BLOCK
    left, right = (
        rows[:, :end].reshape(len(rows), n_blocks, BLOCK).transpose(0, 1) for rows in (a, b)
    )
    return torch.bmm(left, right.mT).sum(0) + a[:, end:] @ b[:, end:].T


def cosines(gradients: Tensor) -> Tensor:
    """Cosine of every two rows, (T, T); NaN for a row of zeros."""
    found = products(gradients, gradients)
    norms = found.diagonal().sqrt()
    return found / (norms[:, None] * norms)


def random_state(device: torch.device) -> list[Tensor]:
    """The state of the generators that a forward pass on a device draws from."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state())
    return states


def set_random_state(device: torch.device, states: list[Tensor]) -> None:
    """The inverse of `random_state`."""
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.get_device_module(device).set_rng_state(state)


@contextmanager
def same_random_numbers(device: torch.device) -> Iterator[None]:
    """What is drawn inside is drawn again after it."""
    states = random_state(device)
    try:
        yield
    finally:
        set_random_state(device, states)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
