"""Published benchmarks on their own networks, and other methods beside ours.

    python -m examples.published --benchmark=permuted_mnist --method=ours,ewc

Each job, a method that learns a benchmark with a seed, is one line of the
results; a job whose line is there is not run again. A job that was stopped goes
on with the task that it was at, from --work_dir. Each runs in a process of its
own, so that its peak memory is known. `--preset=paper` has the tasks and epochs
of the papers, `--preset=short` fewer.

    python -m examples.published --table_only --page=PAGE --pictures=FOLDER

puts the tables into `docs/published.md`, say, and draws the pictures. Data come
from TensorFlow Datasets; with `--data_dir` they are read from there and not
downloaded. TinyImageNet and notMNIST are folders: `--tiny_imagenet` and
`--not_mnist`.
"""

import concurrent.futures
import multiprocessing
import pathlib
from typing import Any

from absl import app, flags, logging

from examples.beside_dense.results import Results
from examples.choices import define_choices
from examples.published_benchmarks import jobs, table
from examples.published_benchmarks.benchmarks import (
    BENCHMARKS,
    NATURAL,
    ORDERS,
    PAPER,
    PRESETS,
)
from examples.published_benchmarks.methods import METHODS

FOLDERS = ("tiny_imagenet", "not_mnist")

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS folder; None to download.")
flags.DEFINE_string("tiny_imagenet", None, "The folder `tiny-imagenet-200`.")
flags.DEFINE_string("not_mnist", None, "The folder `notMNIST_small`.")
define_choices(
    "benchmark", ["permuted_mnist"], list(BENCHMARKS), "What is learned."
)
define_choices(
    "method",
    [name for name, method in METHODS.items() if not method.is_variant],
    list(METHODS),
    "Who learns it.",
)
flags.DEFINE_enum("preset", PAPER, PRESETS, "How many tasks and epochs.")
flags.DEFINE_enum("order", NATURAL, ORDERS, "Of classes, if tasks have some.")
flags.DEFINE_list("seeds", ["0"], "A job for each.")
flags.register_validator(
    "seeds",
    lambda values: bool(values) and all(v.isdigit() for v in values),
    "must be numbers, such as 0,1,2",
)
for name in ("num_tasks", "epochs", "batch_size"):
    flags.DEFINE_integer(name, None, "Instead of the preset's.", lower_bound=1)
flags.DEFINE_string(
    "results", "docs/results/published.jsonl", "The file of results."
)
flags.DEFINE_string("work_dir", "/tmp/published", "Where jobs are kept.")
flags.DEFINE_bool("table_only", False, "Make the tables, train nothing.")
flags.DEFINE_string("page", None, "A page whose tables are replaced.")
flags.DEFINE_string("pictures", None, "Folder where pictures are drawn.")


def make_jobs() -> list[jobs.Job]:
    """Returns the jobs that the flags ask for."""
    return [
        jobs.Job(
            benchmark,
            method,
            int(seed),
            FLAGS.preset,
            FLAGS.order,
            FLAGS.num_tasks,
            FLAGS.epochs,
            FLAGS.batch_size,
        )
        for benchmark in FLAGS.benchmark
        for seed in FLAGS.seeds
        for method in FLAGS.method
    ]


def waiting_jobs(results: Results) -> list[jobs.Job]:
    """Returns the jobs without a line; refuses lines with other flags."""
    waiting = []
    for job in make_jobs():
        line = results.find(job.identity())
        if line is None:
            waiting.append(job)
            continue
        jobs.check_settings(
            job, line["settings"], f"'{results.path}'", "another --results"
        )
    return waiting


def run_apart(job: jobs.Job, places: jobs.Places) -> dict[str, Any]:
    """Runs a job in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(jobs.run_job, job, places).result()


def main(_):
    logging.set_verbosity(logging.ERROR)
    results = Results(pathlib.Path(FLAGS.results), jobs.IDENTITY)
    if not FLAGS.table_only:
        folders = tuple((name, FLAGS[name].value) for name in FOLDERS)
        places = jobs.Places(FLAGS.work_dir, FLAGS.data_dir, folders)
        waiting = waiting_jobs(results)
        print(f"{len(make_jobs()) - len(waiting)} jobs are done", flush=True)
        for number, job in enumerate(waiting, start=1):
            print(f"{number}/{len(waiting)} {job.name()}", flush=True)
            line = results.add(run_apart(job, places))
            print(
                f"accuracy {line['accuracy']:.2%}, {line['total_bytes']:,} "
                f"bytes, {line['fraction']:.2%} of one network",
                flush=True,
            )
    tables = table.make_tables(results.lines)
    print(f"\n{tables}")
    if FLAGS.page:
        table.put_into_page(tables, pathlib.Path(FLAGS.page))
    if FLAGS.pictures:
        for path in table.draw(results.lines, pathlib.Path(FLAGS.pictures)):
            print(path)


if __name__ == "__main__":
    app.run(main)
