"""Code to take along: the specialists of a grouping in somebody's own loop, and their average.

Nothing is logged by it, unlike by `snippets`, and it needs nothing of this project.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from string import Template

from stg_core.judging.ensembles import Floats
from stg_core.judging.snippets import (
    FRAMEWORKS,
    IMPORTS,
    KERAS_BINARY,
    KERAS_MIXED,
    LINE,
    TORCH_BINARY,
    TORCH_MIXED,
    about_outputs,
    columns_of,
    written,
)
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task

HEAD = Template(
    """\
# Trains $count of a grouping of $run, and averages them: each has
# weights of its own on the losses of the tasks. Yours to define:
# - make_model(): a new model, whose outputs are $outputs
# - $data; labels are (points, tasks), NaN where one is missing
# - epochs: for how many each is trained
$imports
TASKS = $tasks
KINDS = $kinds
$columns
# of each specialist, the weights of the tasks; those of a task sum to 1
WEIGHTS = [
$weights
]

"""
)

PYTORCH = """
specialists = []
for seed, weights in enumerate(WEIGHTS):
    torch.manual_seed(seed)
    model, weights = make_model(), torch.tensor(weights)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)  # as in your own loop
    for _ in range(epochs):
        model.train()
        for inputs, labels in loader:
            loss = (task_losses(model(inputs), labels) * weights.to(labels)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    specialists.append(model.eval())
"""

LIGHTNING = """
class Weighted(L.LightningModule):
    def __init__(self, model, weights):
        super().__init__()
        self.model = model
        self.register_buffer("weights", torch.tensor(weights))

    def training_step(self, batch, _):
        inputs, labels = batch
        return (task_losses(self.model(inputs), labels) * self.weights).sum()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)  # as in your own module


specialists = []
for seed, weights in enumerate(WEIGHTS):
    L.seed_everything(seed)
    module = Weighted(make_model(), weights)
    trainer = L.Trainer(max_epochs=epochs, logger=False, enable_checkpointing=False)
    trainer.fit(module, loader)
    specialists.append(module.model.eval().cpu())
"""

TORCH_AVERAGE = '''

def predict(inputs):
    """Logits (points, outputs): those of the specialists, averaged with each task's weights."""
    shares = torch.tensor(WEIGHTS)$of_outputs
    with torch.no_grad():
        outputs = torch.stack([model(inputs) for model in specialists])
    return (outputs * shares.to(outputs)[:, None]).sum(0)
'''

KERAS = '''
def weighted(weights):
    weights = ops.convert_to_tensor(weights, "float32")
    return lambda labels, outputs: ops.sum(task_losses(labels, outputs) * weights)


specialists = []
for seed, weights in enumerate(WEIGHTS):
    keras.utils.set_random_seed(seed)
    model = make_model()
    model.compile(optimizer="adam", loss=weighted(weights))  # as in your own training
    model.fit(train_inputs, train_labels, epochs=epochs, verbose=0)
    specialists.append(model)


def predict(inputs):
    """Logits (points, outputs): those of the specialists, averaged with each task's weights."""
    shares = np.array(WEIGHTS)$of_outputs
    outputs = np.stack([model.predict(inputs, verbose=0) for model in specialists])
    return (outputs * shares[:, None]).sum(axis=0)
'''

LOADER = "loader: batches of (inputs, labels)"
DATA = {"pytorch": LOADER, "lightning": LOADER, "keras": "train_inputs, train_labels"}
LOOPS = {"pytorch": PYTORCH + TORCH_AVERAGE, "lightning": LIGHTNING + TORCH_AVERAGE, "keras": KERAS}
REPEATED = {"keras": ".repeat($widths, axis=1)"}
TORCH_REPEATED = ".repeat_interleave(torch.tensor($widths), dim=1)"


def own_trainer(framework: str, tasks: Sequence[Task], weights: Floats, run: str) -> str:
    """Python that trains one specialist per column of weights (T, k), for one of FRAMEWORKS.

    It defines `specialists`, and `predict(inputs)`, which averages their logits. run: the title of
    what was grouped. Raises UserError for another framework.
    """
    if framework not in FRAMEWORKS:
        raise UserError(f"There is code for {', '.join(FRAMEWORKS)}, not for {framework!r}.")
    mixed = any(task.kind != "binary" for task in tasks)
    head = HEAD.substitute(
        count=counted(weights.shape[1], "specialist"),
        run=named(run),
        outputs=about_outputs(tasks),
        data=DATA[framework],
        imports=IMPORTS[framework] + "import numpy as np\n" * (framework == "keras"),
        tasks=written([task.name for task in tasks]),
        kinds=written({task.name: task.kind for task in tasks}) if mixed else '"binary"',
        columns=f"COLUMNS = {columns_of(tasks)}  # of each task\n" if mixed else "",
        weights="\n".join(map(_column, weights.T.tolist())),
    )
    losses = (
        (KERAS_MIXED if mixed else KERAS_BINARY)
        if framework == "keras"
        else (TORCH_MIXED if mixed else TORCH_BINARY)
    )
    repeated = REPEATED.get(framework, TORCH_REPEATED) if mixed else ""
    of_outputs = Template(repeated).substitute(widths=[task.width for task in tasks])
    return head + losses + Template(LOOPS[framework]).substitute(of_outputs=of_outputs)


def _column(weights: Sequence[float]) -> str:
    lines = textwrap.wrap(", ".join(f"{weight:.6g}" for weight in weights), LINE - 8)
    return "\n".join(["    [", *(f"        {line}" for line in lines), "    ],"])
