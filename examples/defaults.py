"""What the default settings cost: a dense Keras network beside each task.

    python -m examples.defaults --rows=wine,digits_300

A `ContinualModel(backbone)` with nothing else given, and plain Keras with the
same network, epochs, batches, optimizer and validation data. Prints a table in
Markdown, with the paired gap of each row and its 95 % bootstrap interval (for
regressions R2, and the ratio of squared errors), and which goals are met.
Seconds are those of one task: of plain `fit`, and what our `fit` and
`consolidate` take more. Capacity is that of all tasks.

Each job (a row, variant, seed and fold) is one line of the results; a job
whose line is there is not run again, so a run that was stopped goes on. MNIST
and CIFAR-100 come from TensorFlow Datasets; with `--data_dir` they are read
from there and not downloaded.

`--variants=early_stopping` does the same with `EarlyStopping` in both
networks, `--variants=grid` trains with fixed sparsities and widths, to compare
their bytes with those of the default.
"""

import pathlib
from collections.abc import Sequence

from absl import app, flags, logging

from examples.beside_dense.data import FOLDS
from examples.beside_dense.jobs import run_all
from examples.beside_dense.results import Results
from examples.beside_dense.rows import GRID_ROWS, ROWS
from examples.beside_dense.table import make_table
from examples.beside_dense.training import GRID, SIZES, Job
from examples.choices import define_choices

VARIANTS = ("default", "early_stopping", "grid")

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS folder; None to download.")
define_choices("rows", list(ROWS), list(ROWS), "Rows of the table.")
define_choices(
    "variants",
    ["default"],
    VARIANTS,
    "The default settings; the same with early stopping; fixed sparsities and "
    "widths, with the first seed.",
)
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of each row.")
flags.DEFINE_list(
    "folds",
    [str(fold) for fold in range(FOLDS)],
    "Fifths of the data that test, for rows with few data.",
)
flags.DEFINE_float("tolerance", None, "Of the model; None for its default.")
flags.DEFINE_enum("size", "full", list(SIZES), "How much to train.")
flags.DEFINE_string(
    "results", "docs/results/defaults.jsonl", "The file of results."
)
flags.DEFINE_bool("table_only", False, "Print the table, train nothing.")
for number_list in ("seeds", "folds"):
    flags.register_validator(
        number_list,
        lambda values: bool(values) and all(v.isdigit() for v in values),
        "must be numbers, such as 0,1,2",
    )


def make_jobs(variants: Sequence[str]) -> list[Job]:
    """Returns the jobs of some variants, for what the flags ask for."""
    jobs = []
    for variant in variants:
        in_grid = variant == "grid"
        seeds = FLAGS.seeds[:1] if in_grid else FLAGS.seeds
        for row in FLAGS.rows:
            if in_grid and row not in GRID_ROWS:
                continue
            folds = FLAGS.folds if ROWS[row].folds else [None]
            jobs += [
                Job(
                    row,
                    name,
                    int(seed),
                    fold if fold is None else int(fold),
                    FLAGS.size,
                    FLAGS.tolerance,
                )
                for name in (GRID if in_grid else [variant])
                for seed in seeds
                for fold in folds
            ]
    return jobs


def main(_):
    # TensorFlow warns of the many networks, each of which it traces.
    logging.set_verbosity(logging.ERROR)
    results = Results(pathlib.Path(FLAGS.results))
    if not FLAGS.table_only:
        run_all(make_jobs(FLAGS.variants), results, FLAGS.data_dir)
    # The grid is compared with the default, which ran before.
    found = [results.find(job.identity()) for job in make_jobs(VARIANTS)]
    print(make_table([line for line in found if line is not None]))


if __name__ == "__main__":
    app.run(main)
