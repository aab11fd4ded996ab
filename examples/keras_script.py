"""Logs a training of Keras: twelve questions about scikit-learn's digits."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from sklearn.datasets import load_digits

from stg_core import TaskLog
from stg_core.maps.loops.keras import TaskLogCallback

images, digits = load_digits(return_X_y=True)
x = (images / 16).astype("float32")
names = [f"is {d}" for d in range(10)] + ["even", "above 4"]
labels = np.stack([*(digits == d for d in range(10)), digits % 2 == 0, digits > 4], 1)
train, test = slice(0, 1400), slice(1400, None)

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(len(names))]
)
model.compile(
    optimizer=keras.optimizers.Adam(1e-2),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
)

log = TaskLog(
    "Digits, Keras", tasks=names, labels=labels[train], test_labels=labels[test], anew=True
)
model.fit(
    x[train],
    labels[train].astype("float32"),
    batch_size=128,
    epochs=8,
    verbose=0,
    callbacks=[TaskLogCallback(log, x[train], test=x[test])],
)
