"""Thirteen questions about handwritten digits, learned by logistic regression in plain NumPy.

    python -m examples.numpy_only

It logs while it trains: in the app, `make app`, its run is among the others from the second epoch
on. Then the same in one line, for who has the outputs of all epochs already.
"""

import numpy as np
from sklearn.datasets import load_digits

import stg_core

EPOCHS, BATCH, RATE = 20, 32, 0.5

pixels, digit = load_digits(return_X_y=True)
points = np.column_stack([pixels / 16, np.ones(len(pixels))])
answers = {f"is {d}": digit == d for d in range(10)}
answers |= {"is odd": digit % 2 == 1, "below five": digit < 5}
answers |= {"has a loop": np.isin(digit, (0, 6, 8, 9))}
tasks, labels = [*answers], np.column_stack([*answers.values()]).astype(float)

rng = np.random.default_rng(0)
weights = np.zeros((points.shape[1], len(tasks)))
epochs = []
with stg_core.TaskLog(
    "digits in NumPy", tasks, labels, outputs="logits", epochs=EPOCHS, anew=True
) as log:
    for _ in range(EPOCHS):
        for batch in np.array_split(rng.permutation(len(points)), len(points) // BATCH):
            logits = points[batch] @ weights
            log.update(batch, logits)
            error = labels[batch] - 1 / (1 + np.exp(-logits))
            weights += RATE * points[batch].T @ error / len(batch)
        log.end_epoch()
        epochs.append(points @ weights)

result = stg_core.group(epochs, labels, tasks=tasks, k=3)
print(result)  # a notebook shows it as a table; result.plot() is a picture, result.open() the app
