"""Logs a training of scikit-learn, epoch by epoch: twelve questions about its digits."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from stg_core import TaskLog

images, digits = load_digits(return_X_y=True)
x = images / 16
names = [f"is {d}" for d in range(10)] + ["even", "above 4"]
labels = np.stack([*(digits == d for d in range(10)), digits % 2 == 0, digits > 4], 1).astype(int)

model = MLPClassifier((64,), learning_rate_init=1e-2, random_state=0)
with TaskLog("Digits, scikit-learn", tasks=names, labels=labels, anew=True) as log:
    for _ in range(8):
        model.partial_fit(x, labels, classes=np.arange(len(names)))
        log.epoch(model.predict_proba(x))  # of all points, (N, T)
