"""Logs a training of the Hugging Face Trainer: twelve questions about scikit-learn's digits."""

import tempfile

import numpy as np
import torch
from sklearn.datasets import load_digits
from transformers import Trainer, TrainingArguments

from stg_core import Indexed, TaskLog
from stg_core.maps.loops.transformers import TaskLogCallback

images, digits = load_digits(return_X_y=True)
names = [f"is {d}" for d in range(10)] + ["even", "above 4"]
labels = np.stack([*(digits == d for d in range(10)), digits % 2 == 0, digits > 4], 1)
x, y = torch.tensor(images / 16).float(), torch.tensor(labels).float()
items = [{"pixels": pixels, "labels": answers} for pixels, answers in zip(x, y, strict=True)]
train, test = slice(0, 1400), slice(1400, None)


class Digits(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, len(names))
        )

    def forward(self, pixels, labels):
        logits = self.body(pixels)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        return {"loss": loss, "logits": logits}


torch.manual_seed(0)
log = TaskLog(
    "Digits, Trainer", tasks=names, labels=labels[train], test_labels=labels[test], anew=True
)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder,
        num_train_epochs=8,
        learning_rate=1e-2,
        per_device_train_batch_size=128,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        remove_unused_columns=False,  # or the indices would be removed
    )
    Trainer(
        Digits(),
        arguments,
        train_dataset=Indexed(items[train]),
        eval_dataset=Indexed(items[test]),
        callbacks=[TaskLogCallback(log)],
    ).train()
