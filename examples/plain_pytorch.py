"""Logs a plain PyTorch loop: twelve questions about scikit-learn's digits."""

import torch
from sklearn.datasets import load_digits

from stg_core import TaskLog

x, digits = map(torch.tensor, load_digits(return_X_y=True))
y = torch.stack([*(digits == d for d in range(10)), digits % 2 == 0, digits > 4], 1).float()
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 12))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

with TaskLog("Digits, plain PyTorch", [*"0123456789", "even", "above 4"], y, anew=True) as log:
    for _ in range(30):
        for indices in torch.randperm(len(x)).split(128):
            log.update(indices, logits := model(x[indices].float() / 16))
            torch.nn.BCEWithLogitsLoss()(logits, y[indices]).backward()
            optimizer.step()
            optimizer.zero_grad()
        log.end_epoch()
