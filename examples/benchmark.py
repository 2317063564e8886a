"""What continual learning costs over plain Keras, as ratios of one run.

    python -m examples.benchmark --suite=training --output_dir=/tmp/benchmark

The two things that a ratio compares run in turn in the same process; the
ratio is that of the medians, with the spread of the single ratios.
"""

import json
import pathlib
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

import tsn_keras

FLAGS = flags.FLAGS
flags.DEFINE_enum("suite", "training", ["training"], "What to measure.")
flags.DEFINE_string("output_dir", "/tmp/benchmark", "Where the JSON goes.")
flags.DEFINE_integer("repetitions", 9, "Measurements of each side.")
flags.DEFINE_integer("steps", 2000, "Training steps of one measurement.")

# Units of the hidden layers, batch size, and the share of --steps to take.
NETWORKS = {
    "mlp_100": ((100, 100), 128, 1.0),
    "mlp_2000": ((2000, 2000), 256, 0.1),
}


def make_backbone(units: tuple[int, ...]) -> keras.Model:
    hidden = [keras.layers.Dense(size, activation="relu") for size in units]
    return keras.Sequential([keras.Input((784,)), *hidden])


def compile_model(model: keras.Model) -> keras.Model:
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def make_batches(batch_size: int, steps: int) -> tf.data.Dataset:
    random = np.random.default_rng(0)
    x = random.random((batch_size, 784), np.float32)
    y = random.integers(0, 10, batch_size)
    return tf.data.Dataset.from_tensors((x, y)).cache().repeat(steps)


def make_continual(units: tuple[int, ...]) -> tsn_keras.ContinualModel:
    model = tsn_keras.ContinualModel(
        make_backbone(units),
        pruning=tsn_keras.pruning.MagnitudePruning(0.95, end=0.1),
        quantization=tsn_keras.quantization.AdaptiveCodebook(
            tolerance=0.9, fine_tune_steps=0
        ),
        sharing=None,
    )
    return compile_model(model)


def add_tasks(model: tsn_keras.ContinualModel, count: int, batches) -> None:
    """Learns tasks briefly, so that the bank has something to carry."""
    for _ in range(count):
        name = f"task_{len(model.tasks)}"
        model.add_task(name, keras.layers.Dense(10))
        model.fit(batches.take(1), verbose=0, shuffle=False)
        model.consolidate(batches.take(1), verbose=0)


def compare(
    name: str,
    ours: Callable[[], None],
    baseline: Callable[[], None],
    steps: int,
) -> dict:
    """Times two functions in turn."""
    times = []
    ours(), baseline()
    for _ in range(FLAGS.repetitions):
        pair = []
        for function in (ours, baseline):
            start = time.perf_counter()
            function()
            pair.append(time.perf_counter() - start)
        times.append(pair)
    times = np.array(times) / steps * 1e3
    medians = np.median(times, axis=0)
    ratios = times[:, 0] / times[:, 1]
    result = {
        "name": name,
        "ours_ms": medians[0],
        "baseline_ms": medians[1],
        "ratio": medians[0] / medians[1],
        "spread": [ratios.min(), ratios.max()],
    }
    print(
        f"{name:<28}{medians[0]:>9.3f} ms{medians[1]:>9.3f} ms  ratio "
        f"{result['ratio']:.3f} ({ratios.min():.3f} to {ratios.max():.3f})",
        flush=True,
    )
    return result


def benchmark_training() -> list[dict]:
    results = []
    for name, (units, batch_size, share) in NETWORKS.items():
        steps = int(FLAGS.steps * share)
        batches = make_batches(batch_size, steps)

        def fit(model):
            model.fit(batches, verbose=0, shuffle=False)

        plain = keras.Sequential([make_backbone(units), keras.layers.Dense(10)])
        compile_model(plain)
        first = make_continual(units)
        first.add_task("task_0", keras.layers.Dense(10))
        results.append(
            compare(
                f"{name}, step/plain",
                lambda: fit(first),
                lambda: fit(plain),
                steps,
            )
        )
        later = make_continual(units)
        add_tasks(later, 19, batches)
        later.add_task("task_19", keras.layers.Dense(10))
        results.append(
            compare(
                f"{name}, task 20/task 1",
                lambda: fit(later),
                lambda: fit(first),
                steps,
            )
        )
    return results


def main(_):
    logging.set_verbosity(logging.WARNING)
    results = benchmark_training()
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{FLAGS.suite}.json"
    path.write_text(json.dumps(results, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    app.run(main)
