"""Permuted MNIST: the standard test of continual learning, with all bytes.

    python -m examples.permuted_mnist --num_tasks=10 --output_dir=/tmp/permuted

The protocol of WSN (Kang et al., ICML 2022): a 784-100-100-10 network, 10 % of
the training images for validation, 5 epochs a task. MNIST comes from
TensorFlow Datasets; with `--data_dir` it is read from there and not
downloaded. A run that was stopped goes on with `--resume`.
"""

import dataclasses

import keras
import numpy as np
from absl import app, flags, logging

import tsn_keras
from examples.progress import progress

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS folder; None to download.")
flags.DEFINE_integer("num_tasks", 10, "Number of permutations.")
flags.DEFINE_integer("epochs", 5, "Epochs a task.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_string("output_dir", "/tmp/permuted_mnist", "Where files go.")
flags.DEFINE_integer("batch_size", 32, "Images in a training batch.")
flags.DEFINE_float("learning_rate", 3e-3, "Adam's at the start; ends at 0.")
flags.DEFINE_enum(
    "settings",
    "default",
    ["default", "recipe", "small"],
    "What a model finds by itself, or values found by hand for these tasks.",
)
flags.DEFINE_enum(
    "sharing",
    "activation_similarity",
    ["activation_similarity", "always", "warm_start", "never"],
    "How a task finds its plane.",
)
flags.DEFINE_bool("resume", False, "Go on with the run in --output_dir.")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Values that were found by hand."""

    sparsity_1: float
    sparsity_2: float
    min_width: int
    max_width: int
    tolerance: float
    fine_tune_steps: int

    def strategies(self) -> dict:
        return {
            "pruning": tsn_keras.pruning.FisherPruning(
                {"hidden_1": self.sparsity_1, "hidden_2": self.sparsity_2},
                end=0.7,
            ),
            "quantization": tsn_keras.quantization.AdaptiveCodebook(
                tolerance=self.tolerance,
                min_width=self.min_width,
                max_width=self.max_width,
                fine_tune_steps=self.fine_tune_steps,
                learning_rate=FLAGS.learning_rate,
            ),
        }


RECIPES = {
    "recipe": Recipe(0.957, 0.886, 3, 3, 0.003, 2000),
    "small": Recipe(0.984, 0.952, 2, 2, 0.004, 1700),
}


def make_model(
    steps: int, sharing: str | tsn_keras.sharing.Sharing
) -> tsn_keras.ContinualModel:
    recipe = RECIPES.get(FLAGS.settings)
    strategies = recipe.strategies() if recipe else {}
    backbone = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dropout(0.1, seed=FLAGS.seed),
            keras.layers.Dense(100, "silu", name="hidden_1"),
            keras.layers.Dense(100, "silu", name="hidden_2"),
        ]
    )
    model = tsn_keras.ContinualModel(
        backbone, sharing=sharing, seed=FLAGS.seed, **strategies
    )
    schedule = keras.optimizers.schedules.PolynomialDecay(
        FLAGS.learning_rate, steps, end_learning_rate=0.0
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=50,
    )
    return model


def wsn_capacity(model: tsn_keras.ContinualModel) -> float:
    """Returns capacity as WSN counts it: no heads, no codebooks.

    `(1 - S) + (1 - 0.78) T / 32`, S the sparsity of the union of all masks.
    """
    used = [model.bank.used_bits(i) > 0 for i in range(len(model.bank.paths))]
    density = np.concatenate([mask.reshape(-1) for mask in used]).mean()
    return float(density + (1 - 0.78) * len(model.tasks) / 32)


def load_mnist() -> tsn_keras.scenarios.ImageData:
    return tsn_keras.scenarios.ImageData.from_tfds(
        "mnist", data_dir=FLAGS.data_dir, download=FLAGS.data_dir is None
    )


def learn_all(run: tsn_keras.evaluation.ScenarioRun) -> None:
    """Learns the remaining tasks, and prints a line for each."""
    with progress(len(run.remaining)) as bar:
        for task in run.remaining:
            bar.begin(task.name)
            report = run.learn(keras.layers.Dense(10), epochs=FLAGS.epochs)
            index = run.learned - 1
            bar.end(
                f"{task.name:<16} plane {report.plane:>3}  "
                f"bits {list(report.bits.values())}  "
                f"accuracy {run.matrix.values[index, index]:.2%}  "
                f"{run.seconds:.0f} s"
            )


def main(_):
    logging.set_verbosity(logging.WARNING)
    keras.utils.set_random_seed(FLAGS.seed)
    data = load_mnist()
    tasks = tsn_keras.scenarios.PermutedPixels(
        data, FLAGS.num_tasks, FLAGS.seed, batch_size=FLAGS.batch_size
    )
    steps = int(tasks[0].train.cardinality()) * FLAGS.epochs
    run = tsn_keras.evaluation.ScenarioRun(
        make_model(steps, FLAGS.sharing),
        tasks,
        FLAGS.output_dir,
        resume=FLAGS.resume,
    )
    learn_all(run)
    published = wsn_capacity(run.model)
    report = run.finish(FLAGS.flag_values_dict(), wsn_capacity=published)
    metrics, capacity = report["metrics"], report["capacity"]
    print(
        f"average accuracy {metrics['average_accuracy']:.2%}, worst task "
        f"{np.nanmin(run.matrix.values[-1]):.2%}, backward transfer "
        f"{metrics['backward_transfer']:.4f}, bit-exact {report['bit_exact']}\n"
        f"capacity {capacity['fraction']:.2%} with every byte counted: "
        f"{capacity['bytes']} ({published:.2%} as WSN counts)\n"
        f"{report['seconds']:.0f} s, consolidation "
        f"{run.consolidation_seconds / run.training_seconds:.0%} of the "
        f"training time; everything in {FLAGS.output_dir}"
    )


if __name__ == "__main__":
    app.run(main)
