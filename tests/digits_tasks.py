"""Small tasks on scikit-learn's digits, and small models that learn them."""

import functools
import os
import tempfile

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras
from tsn_keras.pruning import MagnitudePruning
from tsn_keras.quantization import AdaptiveCodebook

TRAIN, VALIDATION, TEST = slice(0, 400), slice(400, 600), slice(600, 800)


@functools.cache
def _digits():
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    return np.float32(digits.data[order] / 16), digits.target[order]


def digits(number, part):
    """Returns images and labels of a part, pixels permuted by task."""
    x, y = _digits()
    order = np.random.default_rng(number).permutation(64)
    return x[part][:, order], y[part]


class CountsTraces(tsn_keras.ContinualModel):
    """Counts how often its prediction is traced."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.predict_traces = 0

    def predict_step(self, data):
        self.predict_traces += 1
        return super().predict_step(data)


def mlp(units=32, extra=()):
    """Returns a backbone of one hidden layer and what comes after it."""
    hidden = keras.layers.Dense(units, activation="relu")
    return keras.Sequential([keras.Input((64,)), hidden, *extra])


def make_model(
    backbone=None,
    pruning="default",
    quantization="default",
    sharing="never",
    optimizer=None,
    seed=1,
    kernels=None,
    model_class=tsn_keras.ContinualModel,
    tolerance=0.01,
    inference="confidence",
    **compile_arguments,
):
    """Returns a compiled model whose tasks are learned in a second."""
    if pruning == "default":
        pruning = MagnitudePruning(0.7, frequency=5)
    if quantization == "default":
        quantization = AdaptiveCodebook(
            min_width=2, max_width=4, fine_tune_steps=5
        )
    model = model_class(
        backbone or mlp(),
        pruning,
        quantization,
        sharing,
        seed,
        kernels,
        tolerance=tolerance,
        inference=inference,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    arguments = {"loss": loss, "metrics": ["accuracy"], **compile_arguments}
    model.compile(optimizer or keras.optimizers.Adam(0.01), **arguments)
    return model


def without_fine_tuning():
    """Returns the usual codebook for tests of what training does alone."""
    return AdaptiveCodebook(min_width=2, max_width=4, fine_tune_steps=0)


def begin(model, number=0, **arguments):
    """Adds and trains the task of a number; returns the history."""
    model.add_task(f"task {number}", head=keras.layers.Dense(10))
    return fit(model, number, **arguments)


def fit(model, number=0, **arguments):
    arguments = {"epochs": 2, "verbose": 0, **arguments}
    return model.fit(*digits(number, TRAIN), **arguments)


def consolidate(model, number=0, **arguments):
    # With so little training, tolerance is missed at times.
    validation = digits(number, VALIDATION)
    return model.consolidate(validation, verbose=0, **arguments)


def learn(model, number=0, **arguments):
    """Learns the task of a number from beginning to end."""
    begin(model, number, **arguments)
    return consolidate(model, number)


def logits(model, number=0, task=None):
    """Returns what a task computes for its test images."""
    name = task or f"task {number}"
    x, _ = digits(number, TEST)
    return model.predict(x, task=name, verbose=0, batch_size=200)


def reloaded(model):
    """Returns the model as it is after it was saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        return keras.models.load_model(path)


def most_bits(model):
    """Returns the bits of the slot that holds most."""
    count = len(model.bank.paths)
    return max(model.bank.used_bits(index).max() for index in range(count))


def everything(model):
    """Returns bank and logits of all consolidated tasks, to compare."""
    names = model.bank.tasks
    outputs = [logits(model, n, task=name) for n, name in enumerate(names)]
    return model.bank.to_bytes(), [output.tobytes() for output in outputs]
