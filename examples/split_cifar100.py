"""Split CIFAR-100 on a small ConvNet, ten classes a task.

    python -m examples.split_cifar100 --output_dir=/tmp/split_cifar100

Six 3x3 convolutions with batch normalization and global pooling; 5 % of the
training images for validation, no augmentation. The tasks are learned three
times: by a dense network for each task, by a model that chooses for each task
whether it shares with an earlier one, and by a model that never shares. With
`--networks=warm` each task starts from the values of the one before, if that
is similar, and owns what it keeps of them. With `--networks=joint` one dense
network learns all tasks at once: what there is to gain from other tasks, if
nothing had to be learned one after another.
CIFAR-100 comes from TensorFlow Datasets; with `--data_dir` it is read from
there and not downloaded. A run that was stopped goes on with `--resume`.
"""

import json
import pathlib

import keras
import numpy as np
from absl import app, flags, logging

import tsn_keras
from examples.choices import define_choices
from examples.progress import progress
from examples.published_benchmarks.networks import six_convolutions
from tsn_keras.evaluation.run_identity import describe_tasks
from tsn_keras.files import complete_file

layers, ops = keras.layers, keras.ops

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS folder; None to download.")
flags.DEFINE_integer("num_tasks", 10, "Number of tasks, 10 at most.")
flags.DEFINE_integer("epochs", 25, "Epochs a task.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_float("dropout", 0.1, "Part of the features that training hides.")
flags.DEFINE_float("learning_rate", 1e-3, "Of Adam at the start.")
flags.DEFINE_enum(
    "settings",
    "default",
    ["default", "recipe"],
    "What a model finds by itself, or values found by hand for these tasks.",
)
flags.DEFINE_list(
    "channels",
    ["24", "48", "48", "96", "96", "96"],
    "Channels of the six convolutions.",
)
flags.register_validator(
    "channels",
    lambda values: len(values) == 6 and all(v.isdigit() for v in values),
    "must be six numbers, such as 24,48,48,96,96,96",
)
flags.DEFINE_string("output_dir", "/tmp/split_cifar100", "Where files go.")
define_choices(
    "networks",
    ["dense", "chosen"],
    ["dense", "chosen", "never", "warm", "joint"],
    "Dense single-task networks; a model that chooses what to share; a model "
    "that never shares; a model whose tasks start as the one before; one "
    "dense network of all tasks at once.",
)
flags.DEFINE_bool("resume", False, "Go on with the run in --output_dir.")

BATCH_SIZE = 64
NUM_CLASSES = 10
# What the dense networks depend on, beside the tasks.
SETTINGS = ("epochs", "seed", "dropout", "learning_rate", "channels")
# The recipe. 8 % of all slots are left, small kernels denser: in proportion to
# their sum over their product of sizes (Evci et al., "Rigging the lottery",
# 2020). The first kernel would be full, and leaves room for ten tasks.
SPARSITY = {
    "convolution_0": 0.64,
    "convolution_1": 0.81,
    "convolution_2": 0.873,
    "convolution_3": 0.909,
    ".*": 0.9365,
}
# 250 validation images are too few to tell widths apart.
WIDTH = 4


def make_backbone() -> keras.Sequential:
    channels = list(map(int, FLAGS.channels))
    return six_convolutions((32, 32, 3), channels, FLAGS.dropout)


def compile_model(model: keras.Model, steps: int, loss=None) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(
        FLAGS.learning_rate, steps
    )
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=loss or cross_entropy,
        metrics=[] if loss else ["accuracy"],
    )


def make_model(sharing: tsn_keras.sharing.Sharing) -> tsn_keras.ContinualModel:
    strategies = {}
    if FLAGS.settings == "recipe":
        strategies = {
            "pruning": tsn_keras.pruning.FisherPruning(SPARSITY, end=0.45),
            "quantization": tsn_keras.quantization.AdaptiveCodebook(
                min_width=WIDTH, max_width=WIDTH, tolerance=0.005
            ),
        }
    return tsn_keras.ContinualModel(
        make_backbone(), sharing=sharing, seed=FLAGS.seed, **strategies
    )


def check_settings(tasks, path: pathlib.Path) -> None:
    """Refuses to go on with what was begun with other data or flags."""
    settings = {name: FLAGS[name].value for name in SETTINGS}
    settings["tasks"] = describe_tasks(tasks)
    if FLAGS.resume and path.exists():
        if json.loads(path.read_text()) != settings:
            raise ValueError(
                f"'{path}' is of a run with other data, or with other values "
                f"of {SETTINGS}. Give another --output_dir, or no --resume."
            )
    write_json(settings, path)


def write_json(value, path: pathlib.Path) -> None:
    with complete_file(path) as unfinished:
        unfinished.write_text(json.dumps(value))


def dense_accuracies(tasks, steps: int, path: pathlib.Path) -> list[float]:
    """Trains a dense network for each task; what is in `path` is not redone."""
    accuracies = []
    if FLAGS.resume and path.exists():
        accuracies = json.loads(path.read_text())
    left = range(len(accuracies), len(tasks))
    with progress(len(left)) as bar:
        for index in left:
            task = tasks[index]
            bar.begin(task.name)
            accuracies.append(dense_accuracy(task, index, steps))
            write_json(accuracies, path)
            bar.end(f"dense   {task.name}: {accuracies[-1]:.2%}")
    return accuracies


def dense_accuracy(task, index: int, steps: int) -> float:
    keras.utils.set_random_seed(1000 * FLAGS.seed + index)
    network = keras.Sequential([make_backbone(), layers.Dense(NUM_CLASSES)])
    compile_model(network, steps)
    network.fit(task.train, epochs=FLAGS.epochs, shuffle=False, verbose=0)
    results = network.evaluate(task.test, verbose=0, return_dict=True)
    return results["accuracy"]


def joint_accuracy(tasks, path: pathlib.Path) -> float:
    """Trains one dense network with a head for each task on all at once."""
    if FLAGS.resume and path.exists():
        return json.loads(path.read_text())
    inputs, labels = [], []
    for number, task in enumerate(tasks):
        for x, y in task.train.as_numpy_iterator():
            inputs.append(x)
            labels.append(y + NUM_CLASSES * number)
    x, y = np.concatenate(inputs), np.concatenate(labels)
    heads = (len(tasks), NUM_CLASSES)

    def loss(y_true, y_pred):
        """Cross-entropy among the classes of an example's own task."""
        y_true = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        own = ops.one_hot(y_true // NUM_CLASSES, len(tasks))
        logits = ops.reshape(y_pred, (-1, *heads))
        logits = ops.einsum("btc,bt->bc", logits, own)
        return keras.losses.sparse_categorical_crossentropy(
            y_true % NUM_CLASSES, logits, from_logits=True
        )

    keras.utils.set_random_seed(FLAGS.seed)
    head = layers.Dense(len(tasks) * NUM_CLASSES)
    network = keras.Sequential([make_backbone(), head])
    compile_model(network, FLAGS.epochs * -(-len(x) // BATCH_SIZE), loss)
    network.fit(
        x, y, batch_size=BATCH_SIZE, epochs=FLAGS.epochs, verbose=2
    )
    accuracies = []
    for number, task in enumerate(tasks):
        logits = network.predict(task.test, verbose=0).reshape(-1, *heads)
        labels = np.concatenate([y for _, y in task.test.as_numpy_iterator()])
        accuracies.append(np.mean(logits[:, number].argmax(-1) == labels))
    write_json(float(np.mean(accuracies)), path)
    return float(np.mean(accuracies))


def main(_):
    logging.set_verbosity(logging.WARNING)
    keras.utils.set_random_seed(FLAGS.seed)
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    data = tsn_keras.scenarios.ImageData.from_tfds(
        "cifar100", data_dir=FLAGS.data_dir, download=FLAGS.data_dir is None
    )
    tasks = tsn_keras.scenarios.ClassSplits(
        data,
        FLAGS.num_tasks,
        NUM_CLASSES,
        seed=FLAGS.seed,
        validation_split=0.05,
        batch_size=BATCH_SIZE,
    )
    check_settings(tasks, folder / "settings.json")
    steps = int(tasks[0].train.cardinality()) * FLAGS.epochs
    dense, lines = None, []
    if "dense" in FLAGS.networks:
        dense = dense_accuracies(tasks, steps, folder / "dense.json")
        lines.append(f"dense   average accuracy {np.mean(dense):.2%}")
    if "joint" in FLAGS.networks:
        joint = joint_accuracy(tasks, folder / "joint.json")
        lines.append(f"joint   average accuracy {joint:.2%}")
    strategies = {
        "chosen": tsn_keras.sharing.ActivationSimilarity(),
        "never": tsn_keras.sharing.Never(),
        "warm": tsn_keras.sharing.WarmStart(shrink=1.0, latest=True),
    }
    for name, sharing in strategies.items():
        if name not in FLAGS.networks:
            continue
        print(f"sharing: {name}", flush=True)
        keras.utils.set_random_seed(FLAGS.seed)
        model = make_model(sharing)
        compile_model(model, steps)
        run = tsn_keras.evaluation.ScenarioRun(
            model, tasks, folder / name, resume=FLAGS.resume
        )
        # It prints a row for each task.
        while run.remaining:
            run.learn(layers.Dense(NUM_CLASSES), epochs=FLAGS.epochs)
        report = run.finish(FLAGS.flag_values_dict(), single=dense)
        metrics = report["metrics"]
        lines.append(
            f"{name:<8}average accuracy {metrics['average_accuracy']:.2%}, "
            f"backward transfer {metrics['backward_transfer']:.4f}, bit-exact "
            f"{report['bit_exact']}, capacity "
            f"{report['capacity']['fraction']:.2%}, "
            f"{run.model.bank.num_planes} planes"
        )
    print("\n".join(lines) + f"\neverything in {FLAGS.output_dir}")


if __name__ == "__main__":
    app.run(main)
