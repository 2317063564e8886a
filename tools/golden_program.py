"""Learns small seeded tasks and writes digests of all that came of them.

`tools/golden.py` runs this file with two commits of the package in turn and
compares the digests. Hence it uses only public names that both commits have,
and gives each layer a name: paths of kernels are stored.
"""

import hashlib
import json
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tsn_keras
from tsn_keras.pruning import FisherPruning, MagnitudePruning, ScorePruning
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.sharing import ActivationSimilarity, Always, Sharing, WarmStart

CASES = flags.DEFINE_list("cases", [], "Names of the cases; all by default.")
THREADS = flags.DEFINE_integer("threads", 1, "TensorFlow's threads.")
CHECKOUT = flags.DEFINE_string("checkout", None, "Where tsn_keras must lie.")
OUTPUT = flags.DEFINE_string("output", None, "The JSON file with the digests.")
SAVED = flags.DEFINE_string("saved", None, "The folder for saved models.")
LOAD = flags.DEFINE_boolean("load", False, "Go on from the saved models only.")

TRAIN, VALIDATION, TEST = slice(0, 320), slice(320, 480), slice(480, 640)
CLASSES = 4
IMAGE = (8, 8, 2)
MIDDLE, AFTER = "middle.keras", "after.keras"


def mlp():
    layers = [
        keras.Input((20,)),
        keras.layers.Dense(32, activation="relu", name="first"),
        keras.layers.Dense(24, activation="relu", name="second"),
    ]
    return keras.Sequential(layers, name="mlp")


def convnet():
    """Returns convolutions with batch normalization and dropout."""
    inputs = x = keras.Input(IMAGE)
    for number, width in enumerate((8, 12)):
        x = keras.layers.Conv2D(
            width, 3, padding="same", use_bias=False, name=f"conv_{number}"
        )(x)
        x = keras.layers.BatchNormalization(name=f"norm_{number}")(x)
        x = keras.layers.ReLU(name=f"relu_{number}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.1, name="dropout")(x)
    x = keras.layers.Dense(16, activation="relu", name="dense")(x)
    return keras.Model(inputs, x, name="convnet")


def recurrent():
    layers = [
        keras.Input((6,), dtype="int32"),
        keras.layers.Embedding(40, 8, name="embedding"),
        keras.layers.LSTM(12, name="lstm"),
    ]
    return keras.Sequential(layers, name="recurrent")


def data(number, shape, part):
    """Returns examples and labels of a task: noisy class prototypes.

    Task 2 has prototypes of its own. All others share theirs, and each of them
    numbers the classes in another way.
    """
    labels = np.random.default_rng(number).integers(0, CLASSES, 640)
    prototypes = np.random.default_rng(99 if number == 2 else 98)
    means = prototypes.normal(size=(CLASSES, *shape))
    noise = np.random.default_rng(100 + number).normal(size=(640, *shape))
    x = np.float32(means[(labels + number) % CLASSES] + noise)
    if len(shape) == 1 and shape[0] == 6:
        x = np.int32(np.clip(x * 6 + 20, 0, 39))
    return x[part], labels[part]


@keras.saving.register_keras_serializable(package="golden")
class EverySecondJoins(Sharing):
    """The plane of the task before it for every second task, else a new one."""

    def choose(self, planes, divergences):
        if len(planes) % 2:
            return Always(own_fraction=0.5, depth=0.5).choose(planes, {})
        return tsn_keras.sharing.PlaneChoice(None)


def digest(value):
    """Returns the digest of bytes, an array or plain data."""
    if isinstance(value, np.ndarray):
        value = f"{value.dtype}{value.shape}".encode() + value.tobytes()
    if not isinstance(value, bytes):
        value = json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(value).hexdigest()[:16]


def numbers(value):
    """Returns plain data without its texts, which may be worded anew."""
    if isinstance(value, dict):
        return {key: numbers(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [numbers(part) for part in value]
    return None if isinstance(value, str) else value


class Learner:
    """Learns tasks with one model and keeps the digests of what came of it."""

    def __init__(self, model, shape=IMAGE):
        self.model = model
        self.shape = tuple(shape)
        self.digests = {}

    @classmethod
    def of_backbone(cls, backbone, seed=11, learning_rate=0.01, **strategies):
        """Returns a learner with a new model."""
        model = tsn_keras.ContinualModel(backbone, seed=seed, **strategies)
        model.compile(
            keras.optimizers.Adam(learning_rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return cls(model, backbone.input_shape[1:])

    def add(self, number):
        head = keras.layers.Dense(CLASSES, name=f"head_{number}")
        self.model.add_task(f"task {number}", head=head)

    def fit(self, number, validated=True, **arguments):
        arguments = {"epochs": 3, "verbose": 0, **arguments}
        if validated:
            validation = data(number, self.shape, VALIDATION)
            arguments["validation_data"] = validation
        history = self.model.fit(
            *data(number, self.shape, TRAIN), **arguments
        ).history
        self.digests.setdefault("histories", []).append(digest(history))

    def consolidate(self, number):
        validation = data(number, self.shape, VALIDATION)
        report = self.model.consolidate(validation, verbose=0).to_dict()
        self.digests[f"report of task {number}"] = digest(numbers(report))

    def learn(self, *tasks, **arguments):
        for number in tasks:
            self.add(number)
            self.fit(number, **arguments)
            self.consolidate(number)

    def go_on_from(self, path):
        """Saves the model and goes on with the one that was loaded."""
        self.model.save(path)
        self.model = keras.models.load_model(path)

    def logits(self):
        """Returns the digest of the logits of each task that was trained."""
        return {
            name: digest(
                self.model.predict(
                    data(int(name[-1]), self.shape, TEST)[0],
                    task=name,
                    verbose=0,
                )
            )
            for name in self.model.tasks
        }

    def finished(self):
        """Returns all digests, those of the bank and all logits included."""
        for name, value in self.logits().items():
            self.digests[f"logits of {name}"] = value
        self.digests["bank"] = digest(self.model.bank.to_bytes())
        capacity = self.model.capacity()
        self.digests["capacity"] = digest(
            [sorted(capacity.bytes.items()), capacity.dense_bytes]
        )
        histories = self.digests.pop("histories", [])
        if histories:
            self.digests["histories"] = digest(histories)
        return self.digests


def planes_of_mlp(folder):
    learner = Learner.of_backbone(
        mlp(),
        pruning=MagnitudePruning(0.6, frequency=5, tolerance=0.02),
        sharing=EverySecondJoins(),
    )
    learner.learn(0, 1, 2, 3)
    return learner.finished()


def defaults_of_mlp(folder):
    learner = Learner.of_backbone(mlp())
    learner.learn(0, 1, 2, epochs=6, batch_size=16)
    return learner.finished()


def similarity_of_mlp(folder):
    """Decides by trials; the model has no seed of its own."""
    learner = Learner.of_backbone(
        mlp(),
        seed=None,
        pruning=MagnitudePruning({"first": 0.7, ".*": 0.5}, frequency=4),
        quantization=AdaptiveCodebook(tolerance=0.01, fine_tune_steps=8),
        sharing=ActivationSimilarity(threshold=0.2, doubt=9.0, trial_steps=20),
    )
    learner.learn(0, 1, 2)
    return learner.finished()


def full_planes_of_mlp(folder):
    """Shares without a trial, until a plane is full."""
    learner = Learner.of_backbone(
        mlp(),
        pruning=MagnitudePruning(0.7, frequency=5),
        sharing=ActivationSimilarity(
            threshold=9.0, doubt=0.0, tasks_per_plane=2
        ),
    )
    learner.learn(0, 1, 2, 3)
    return learner.finished()


def fisher_of_convnet(folder):
    """Stops early, and takes the best weights back."""
    learner = Learner.of_backbone(
        convnet(),
        pruning=FisherPruning(0.7, frequency=5, tolerance=0.01),
        sharing=WarmStart(threshold=50.0),
    )
    for number in range(3):
        stopping = keras.callbacks.EarlyStopping(
            "val_loss", patience=1, restore_best_weights=True
        )
        learner.learn(number, epochs=6, callbacks=[stopping])
    return learner.finished()


def budget_of_convnet(folder):
    learner = Learner.of_backbone(
        convnet(),
        pruning=MagnitudePruning(budget=700, frequency=5),
        quantization=AdaptiveCodebook(
            min_width=4, max_width=4, codebook="linear"
        ),
        sharing=EverySecondJoins(),
    )
    learner.learn(0, 1, 2)
    return learner.finished()


def scores_resumed(folder):
    """Ends the session in the middle of each task."""
    learner = Learner.of_backbone(
        mlp(),
        seed=5,
        pruning=ScorePruning(0.6, frequency=5, score_frequency=2),
        quantization=AdaptiveCodebook(min_width=3, max_width=3),
        sharing=Always(),
    )
    for number in range(2):
        learner.add(number)
        learner.fit(number)
        learner.go_on_from(os.path.join(folder, "resumed.keras"))
        learner.fit(number, epochs=2, batch_size=50)
        learner.consolidate(number)
    return learner.finished()


def recurrent_network(folder):
    learner = Learner.of_backbone(
        recurrent(),
        pruning=MagnitudePruning(0.5, frequency=5),
        sharing=Always(),
    )
    learner.learn(0, 1, epochs=4, validated=False)
    return learner.finished()


def no_strategies(folder):
    learner = Learner.of_backbone(
        mlp(), pruning=None, quantization=None, sharing="always"
    )
    learner.learn(0, 1)
    return learner.finished()


def task_files(folder):
    """Exports a task in some precisions, and all tasks in one file."""
    learner = Learner.of_backbone(
        convnet(),
        pruning=MagnitudePruning(0.7, frequency=5),
        sharing=EverySecondJoins(),
    )
    learner.learn(0, 1, epochs=2)
    digests = {}
    for precision in ("float32", "float16"):
        path = os.path.join(folder, f"{precision}.tflite")
        learner.model.export(
            path, format="litert", task="task 1", precision=precision
        )
        file = pathlib.Path(path).read_bytes()
        digests[f"{precision} file"] = digest(file)
    path = os.path.join(folder, "bundle.tflite")
    tsn_keras.lite.export_bundle(learner.model, path)
    runner = tsn_keras.lite.TaskRunner(path)
    for name in runner.tasks:
        runner.select(name)
        x, _ = data(int(name[-1]), learner.shape, TEST)
        digests[f"bundle's logits of {name}"] = digest(
            np.concatenate([runner.predict(row[np.newaxis]) for row in x[:20]])
        )
    return {**learner.finished(), **digests}


def saved_models(folder):
    """Saves in the middle of a task and after it, and finishes."""
    learner = Learner.of_backbone(
        convnet(),
        seed=7,
        pruning=FisherPruning(0.6, frequency=5),
        sharing=EverySecondJoins(),
    )
    learner.learn(0, epochs=4)
    learner.add(1)
    learner.fit(1, epochs=2)
    learner.model.save(os.path.join(folder, MIDDLE))
    digests = finish(learner)
    learner.model.save(os.path.join(folder, AFTER))
    after = read(learner.model)
    return {**digests, **after}


def loaded_models(folder):
    """Finishes what another commit saved, and reads what it finished."""
    middle, after = (
        keras.models.load_model(os.path.join(folder, name))
        for name in (MIDDLE, AFTER)
    )
    return {**finish(Learner(middle)), **read(after)}


def finish(learner):
    """Finishes the task in whose middle a model was saved, and one more."""
    begun = Learner(learner.model)
    middle = {
        f"middle, logits of {name}": value
        for name, value in begun.logits().items()
    }
    begun.fit(1, epochs=2)
    begun.consolidate(1)
    begun.learn(2, epochs=2)
    return {**middle, **begun.finished()}


def read(model):
    """Returns the digests of a model whose tasks are finished."""
    digests = Learner(model).finished()
    return {f"after, {name}": value for name, value in digests.items()}


ALL_CASES = {
    case.__name__: case
    for case in (
        planes_of_mlp,
        defaults_of_mlp,
        similarity_of_mlp,
        full_planes_of_mlp,
        fisher_of_convnet,
        budget_of_convnet,
        scores_resumed,
        recurrent_network,
        no_strategies,
        task_files,
        saved_models,
    )
}


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    tf.config.threading.set_intra_op_parallelism_threads(THREADS.value)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS.value)
    tf.config.experimental.enable_op_determinism()
    place = pathlib.Path(tsn_keras.__file__).resolve()
    if not place.is_relative_to(pathlib.Path(CHECKOUT.value).resolve()):
        raise ImportError(f"tsn_keras was imported from {place}.")
    cases = {name: ALL_CASES[name] for name in CASES.value or ALL_CASES}
    if LOAD.value:
        cases = {saved_models.__name__: loaded_models}
    digests = {}
    for name, case in cases.items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        digests[name] = case(SAVED.value)
    text = json.dumps(digests, indent=2)
    pathlib.Path(OUTPUT.value).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
