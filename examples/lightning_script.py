"""Logs a training of Lightning: twelve questions about scikit-learn's digits."""

import numpy as np
import torch
from lightning import pytorch as pl
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from stg_core import Indexed, TaskLog
from stg_core.maps.loops.lightning import TaskLogCallback

images, digits = load_digits(return_X_y=True)
names = [f"is {d}" for d in range(10)] + ["even", "above 4"]
labels = np.stack([*(digits == d for d in range(10)), digits % 2 == 0, digits > 4], 1)
x, y = torch.tensor(images / 16).float(), torch.tensor(labels).float()
train, test = slice(0, 1400), slice(1400, None)


class Digits(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, len(names))
        )

    def forward(self, x):
        return self.body(x)

    def training_step(self, batch, number):
        _, (x, y) = batch  # indices first: the data set is Indexed
        return torch.nn.functional.binary_cross_entropy_with_logits(self(x), y)

    def validation_step(self, batch, number):
        _, (x, y) = batch
        self.log("loss", torch.nn.functional.binary_cross_entropy_with_logits(self(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


pl.seed_everything(0, verbose=False)
log = TaskLog(
    "Digits, Lightning", tasks=names, labels=labels[train], test_labels=labels[test], anew=True
)
trainer = pl.Trainer(
    max_epochs=8,
    accelerator="cpu",
    callbacks=[TaskLogCallback(log)],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
)
trainer.fit(
    Digits(),
    DataLoader(Indexed(TensorDataset(x[train], y[train])), batch_size=128, shuffle=True),
    DataLoader(Indexed(TensorDataset(x[test], y[test])), batch_size=256),
)
