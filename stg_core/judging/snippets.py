"""Code to take along: it trains specialists, and their controls, in a loop of one's own.

Each snippet is whole but for what only its reader has, which its first lines name, and has the
numbers in it. What it logs is matched by name (see `brought_back`).
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from itertools import accumulate
from string import Template
from typing import TYPE_CHECKING

from stg_core.judging.plan import WARM
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task

if TYPE_CHECKING:
    from stg_core.judging.brought_back import Due

FRAMEWORKS = ("pytorch", "lightning", "keras")
LINE = 100  # characters

HEAD = Template(
    """\
# $count for the judgement of $run,
# each trained as that was, with weights of its own on the losses of the tasks. Yours to define:
# - make_model(size, warm): a new model, whose outputs are $outputs;
#   of `size` times the multiply-adds of $run, and where `warm` with the weights that it ended with
# - $data
# - train_labels, test_labels: (points, tasks), NaN where one is missing
$imports
from stg_core import TaskLog

TASKS = $tasks
KINDS = $kinds
$columns
# name of the log, what it says of its weights, seed, epochs, size, warm, weights of the tasks
MODELS = [
$models
]

"""
)

TORCH_BINARY = '''
def task_losses(outputs, labels):
    """Of each task: the mean over the points of the batch that have a label."""
    known = ~labels.isnan()
    each = F.binary_cross_entropy_with_logits(outputs, labels.nan_to_num(), reduction="none")
    return (each * known).sum(0) / known.sum(0).clamp(min=1)

'''

TORCH_MIXED = '''
def task_losses(outputs, labels):
    """Of each task: the mean over the points of the batch that have a label."""
    losses = []
    for t, (kind, columns) in enumerate(zip(KINDS.values(), COLUMNS)):
        known = ~labels[:, t].isnan()
        answers, truth = outputs[known, columns], labels[known, t]
        if not len(truth):
            loss = outputs.new_zeros(())
        elif kind == "multiclass":
            loss = F.cross_entropy(answers, truth.long())
        elif kind == "binary":
            loss = F.binary_cross_entropy_with_logits(answers[:, 0], truth)
        else:  # scale it as your own loop does
            loss = F.mse_loss(answers[:, 0], truth)
        losses.append(loss)
    return torch.stack(losses)

'''

TASK_LOG = """TaskLog(
        name,
        TASKS,
        train_labels,
        kinds=KINDS,
        outputs="logits",
        test_labels=test_labels,
        epochs=epochs,
        source=source,
        anew=True,  # what a log of that name had is deleted
    ) as log"""

PYTORCH = f"""
for name, source, seed, epochs, size, warm, weights in MODELS:
    torch.manual_seed(seed)
    model, weights = make_model(size, warm), torch.tensor(weights)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)  # as in your own loop
    with {TASK_LOG}:
        for _ in range(epochs):
            model.train()
            for indices, inputs, labels in loader:
                outputs = model(inputs)
                loss = (task_losses(outputs, labels) * weights.to(outputs)).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                log.update(indices, outputs)
            model.eval()
            with torch.no_grad():
                log.test(model(test_inputs))
            log.end_epoch()
"""

LIGHTNING = f"""
class Weighted(L.LightningModule):
    def __init__(self, model, weights, task_log):
        super().__init__()
        self.model, self.task_log = model, task_log
        self.register_buffer("weights", torch.tensor(weights))

    def training_step(self, batch, _):
        indices, inputs, labels = batch
        outputs = self.model(inputs)
        self.task_log.update(indices, outputs)
        return (task_losses(outputs, labels) * self.weights).sum()

    def on_train_epoch_end(self):
        self.model.eval()
        with torch.no_grad():
            self.task_log.test(self.model(test_inputs.to(self.device)))
        self.model.train()
        self.task_log.end_epoch()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)  # as in your own module


for name, source, seed, epochs, size, warm, weights in MODELS:
    L.seed_everything(seed)
    with {TASK_LOG}:
        trainer = L.Trainer(max_epochs=epochs, logger=False, enable_checkpointing=False)
        trainer.fit(Weighted(make_model(size, warm), weights, log), loader)
"""

KERAS_BINARY = '''
def task_losses(labels, outputs):
    """Of each task: the mean over the points of the batch that have a label."""
    known = ops.logical_not(ops.isnan(labels))
    truth = ops.where(known, labels, 0.0)
    each = ops.binary_crossentropy(truth, outputs, from_logits=True)
    known = ops.cast(known, "float32")
    return ops.sum(each * known, axis=0) / ops.maximum(ops.sum(known, axis=0), 1.0)

'''

KERAS_MIXED = '''
def task_losses(labels, outputs):
    """Of each task: the mean over the points of the batch that have a label."""
    losses = []
    for t, (kind, columns) in enumerate(zip(KINDS.values(), COLUMNS)):
        known = ops.logical_not(ops.isnan(labels[:, t]))
        truth, answers = ops.where(known, labels[:, t], 0.0), outputs[:, columns]
        if kind == "multiclass":
            truth = ops.cast(truth, "int32")
            each = ops.sparse_categorical_crossentropy(truth, answers, from_logits=True)
        elif kind == "binary":
            each = ops.binary_crossentropy(truth, answers[:, 0], from_logits=True)
        else:  # scale it as your own training does
            each = ops.square(answers[:, 0] - truth)
        known = ops.cast(known, "float32")
        losses.append(ops.sum(each * known) / ops.maximum(ops.sum(known), 1.0))
    return ops.stack(losses)

'''

KERAS = f"""
def weighted(weights):
    weights = ops.convert_to_tensor(weights, "float32")
    return lambda labels, outputs: ops.sum(task_losses(labels, outputs) * weights)


class Logged(keras.callbacks.Callback):
    def __init__(self, task_log):
        super().__init__()
        self.task_log = task_log

    def on_epoch_end(self, epoch, logs=None):
        outputs = self.model.predict(train_inputs, verbose=0)
        self.task_log.test(self.model.predict(test_inputs, verbose=0))
        self.task_log.epoch(outputs)


for name, source, seed, epochs, size, warm, weights in MODELS:
    keras.utils.set_random_seed(seed)
    model = make_model(size, warm)
    model.compile(optimizer="adam", loss=weighted(weights))  # as in your own training
    with {TASK_LOG}:
        model.fit(train_inputs, train_labels, epochs=epochs, callbacks=[Logged(log)], verbose=0)
"""

TORCH_IMPORTS = "import torch\nimport torch.nn.functional as F\n"
LOADER = "loader: batches of (indices of the points, inputs, labels); test_inputs"
IMPORTS = {
    "pytorch": TORCH_IMPORTS,
    "lightning": "import lightning as L\n" + TORCH_IMPORTS,
    "keras": "import keras\nfrom keras import ops\n",
}
DATA = {"pytorch": LOADER, "lightning": LOADER, "keras": "train_inputs, test_inputs"}
LOOPS = {"pytorch": PYTORCH, "lightning": LIGHTNING, "keras": KERAS}


def snippet(framework: str, tasks: Sequence[Task], models: Sequence[Due], run: str) -> str:
    """Python that trains and logs models of all tasks, for one of FRAMEWORKS.

    models: see `BroughtBack.to_train`; run: the title of what was grouped. Raises UserError for
    another framework, and where there is nothing to train.
    """
    if framework not in FRAMEWORKS:
        raise UserError(f"There are snippets for {', '.join(FRAMEWORKS)}, not for {framework!r}.")
    if not models:
        raise UserError("All of these logs are back: there is nothing left to train.")
    mixed = any(task.kind != "binary" for task in tasks)
    head = HEAD.substitute(
        count=counted(len(models), "model"),
        run=named(run),
        outputs=about_outputs(tasks),
        data=DATA[framework],
        imports=IMPORTS[framework],
        tasks=written([task.name for task in tasks]),
        kinds=written({task.name: task.kind for task in tasks}) if mixed else '"binary"',
        columns=f"COLUMNS = {columns_of(tasks)}  # of each task\n" if mixed else "",
        models="\n".join(map(_model, models)),
    )
    if framework == "keras":
        losses = KERAS_MIXED if mixed else KERAS_BINARY
    else:
        losses = TORCH_MIXED if mixed else TORCH_BINARY
    return head + losses + LOOPS[framework]


def about_outputs(tasks: Sequence[Task]) -> str:
    width = sum(task.width for task in tasks)
    return f"logits (batch, {width})" + ", side by side in the order of the tasks" * (
        width > len(tasks)
    )


def columns_of(tasks: Sequence[Task]) -> list[slice]:
    """Of the outputs, those of each task."""
    ends = accumulate(task.width for task in tasks)
    return [slice(end - task.width, end) for task, end in zip(tasks, ends, strict=True)]


def _model(due: Due) -> str:
    weights = textwrap.wrap(", ".join(f"{weight:.6g}" for weight in due.weights), LINE - 8)
    about = f"{written(due.name)}, {written(due.mark)}, {due.spec.seed}, {due.epochs},"
    about += f" {due.spec.width:g}, {due.scheme in WARM}"
    return "\n".join([f"    ({about}, [", *(f"        {line}" for line in weights), "    ]),"])


def written(value: object) -> str:
    """As Python has it, in lines that are not too long."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) < LINE - len("TASKS = "):
        return text
    indented = json.dumps(value, ensure_ascii=False, indent=4)
    return indented[:-2] + ",\n" + indented[-1]
