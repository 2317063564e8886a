"""What continual learning costs over plain Keras, as ratios of one run.

    python -m examples.benchmark --suite=training --output_dir=/tmp/benchmark

The two things that a ratio compares run in turn; the ratio is the median of
the single ratios, with their quartiles. docs/speed.md says what bounds each.
"""

import json
import pathlib

from absl import app, flags, logging

from examples.benchmarks import (
    consolidation,
    export,
    imports,
    many_tasks,
    memory,
    storage,
    switching,
    threads,
    training,
)
from examples.choices import define_choices

# Modules with a function `run(repetitions)` that returns results.
SUITES = {
    "training": training,
    "memory": memory,
    "imports": imports,
    "consolidation": consolidation,
    "export": export,
    "storage": storage,
    "switching": switching,
    "threads": threads,
    "many_tasks": many_tasks,
}

FLAGS = flags.FLAGS
define_choices("suite", ["training"], list(SUITES), "Suites to run.")
flags.DEFINE_string("output_dir", "/tmp/benchmark", "Where the JSON goes.")
flags.DEFINE_integer("repetitions", 9, "Measurements of each side.")


def main(_):
    logging.set_verbosity(logging.WARNING)
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for suite in FLAGS.suite:
        results = SUITES[suite].run(FLAGS.repetitions)
        path = folder / f"{suite}.json"
        path.write_text(json.dumps(results, indent=2))
        print(f"written to {path}")


if __name__ == "__main__":
    app.run(main)
