"""Rotated MNIST: similar tasks, which should share weights by themselves.

    python -m examples.rotated_mnist --output_dir=/tmp/rotated

Ten tasks show MNIST turned by 0 to 45 degrees. They are learned twice, with
`sharing` left to the activations and with a plane for every task, by the
network and the settings of `examples.permuted_mnist`.
"""

import pathlib

import keras
import numpy as np
from absl import app, flags, logging

import tsn_keras
from examples import permuted_mnist

FLAGS = flags.FLAGS


def main(_):
    logging.set_verbosity(logging.WARNING)
    tasks = tsn_keras.scenarios.RotatedImages(
        permuted_mnist.load_mnist(),
        angles=np.linspace(0, 45, FLAGS.num_tasks),
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
        flatten=True,
    )
    steps = int(tasks[0].train.cardinality()) * FLAGS.epochs
    lines = []
    strategies = {
        "chosen": tsn_keras.sharing.ActivationSimilarity(),
        "never": tsn_keras.sharing.Never(),
    }
    for name, sharing in strategies.items():
        print(f"sharing: {name}")
        keras.utils.set_random_seed(FLAGS.seed)
        run = tsn_keras.evaluation.ScenarioRun(
            permuted_mnist.make_model(steps, sharing),
            tasks,
            pathlib.Path(FLAGS.output_dir) / name,
            resume=FLAGS.resume,
        )
        permuted_mnist.learn_all(run)
        report = run.finish(FLAGS.flag_values_dict())
        accuracy = report["metrics"]["average_accuracy"]
        capacity = report["capacity"]["fraction"]
        lines.append(
            f"{name:<8}average accuracy {accuracy:.2%}, worst task "
            f"{np.nanmin(run.matrix.values[-1]):.2%}, capacity "
            f"{capacity:.2%}, {run.model.bank.num_planes} planes, bit-exact "
            f"{report['bit_exact']}, {report['seconds']:.0f} s"
        )
    print("\n".join(lines))


if __name__ == "__main__":
    app.run(main)
