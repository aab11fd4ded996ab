"""Logs a plain PyTorch loop: twelve questions about scikit-learn's digits."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from stg_core import TaskLog

images, digits = load_digits(return_X_y=True)
x = torch.tensor(images / 16, dtype=torch.float32)
names = [f"is {d}" for d in range(10)] + ["even", "above 4"]
labels = np.stack([*(digits == d for d in range(10)), digits % 2 == 0, digits > 4], 1)
y = torch.tensor(labels, dtype=torch.float32)

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 12))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

log = TaskLog("Digits, plain PyTorch", tasks=names, labels=labels, anew=True)
for _ in range(8):
    for indices in torch.randperm(len(x)).split(128):
        logits = model(x[indices])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        log.update(indices, logits)
    log.end_epoch()
log.close()
