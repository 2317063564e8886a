"""Split CIFAR-100 on a small ConvNet, ten classes a task.

    python -m examples.split_cifar100 --num_tasks=2 --epochs=6

Six 3x3 convolutions with batch normalization and global pooling. CIFAR-100
comes from TensorFlow Datasets; with `--data_dir` it is read from there and not
downloaded. A run that was stopped goes on with `--resume`.
"""

import keras
from absl import app, flags, logging

import tsn_keras

layers = keras.layers

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS folder; None to download.")
flags.DEFINE_integer("num_tasks", 10, "Number of tasks, 10 at most.")
flags.DEFINE_integer("epochs", 25, "Epochs a task.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_string("output_dir", "/tmp/split_cifar100", "Where files go.")
flags.DEFINE_float("sparsity", 0.9, "Sparsity of every kernel.")
flags.DEFINE_bool("resume", False, "Go on with the run in --output_dir.")

CHANNELS = (32, 64, 64, 128, 128, 128)
POOLED = (1, 3)


def make_model() -> tsn_keras.ContinualModel:
    stages = [keras.Input((32, 32, 3))]
    for index, channels in enumerate(CHANNELS):
        stages += [
            layers.Conv2D(
                channels,
                3,
                padding="same",
                use_bias=False,
                name=f"convolution_{index}",
            ),
            layers.BatchNormalization(name=f"normalization_{index}"),
            layers.ReLU(name=f"relu_{index}"),
        ]
        if index in POOLED:
            stages.append(layers.MaxPooling2D(name=f"pooling_{index}"))
    stages.append(layers.GlobalAveragePooling2D(name="pooling"))
    model = tsn_keras.ContinualModel(
        keras.Sequential(stages),
        pruning=tsn_keras.pruning.MagnitudePruning(FLAGS.sparsity),
        sharing=None,
        seed=FLAGS.seed,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def main(_):
    logging.set_verbosity(logging.WARNING)
    keras.utils.set_random_seed(FLAGS.seed)
    data = tsn_keras.scenarios.ImageData.from_tfds(
        "cifar100", data_dir=FLAGS.data_dir, download=FLAGS.data_dir is None
    )
    tasks = tsn_keras.scenarios.ClassSplits(
        data, FLAGS.num_tasks, 10, seed=FLAGS.seed, batch_size=64
    )
    run = tsn_keras.evaluation.ScenarioRun(
        make_model(), tasks, FLAGS.output_dir, resume=FLAGS.resume
    )
    while run.remaining:
        task = run.remaining[0]
        run.learn(layers.Dense(10), epochs=FLAGS.epochs)
        index = run.learned - 1
        accuracy = run.matrix.values[index, index]
        print(f"{task.name}: {accuracy:.2%}, {run.seconds:.0f} s", flush=True)
    report = run.finish(FLAGS.flag_values_dict())
    metrics, capacity = report["metrics"], report["capacity"]
    print(
        f"average accuracy {metrics['average_accuracy']:.2%}, backward "
        f"transfer {metrics['backward_transfer']:.4f}, bit-exact "
        f"{report['bit_exact']}; capacity {capacity['fraction']:.2%}; "
        f"everything in {FLAGS.output_dir}"
    )


if __name__ == "__main__":
    app.run(main)
