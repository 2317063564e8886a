"""Does to files and calls what may happen to them, and counts what came of it.

    python -m tools.fault_run

takes under an hour on two cores and prints the table of docs/reliability.md.
Each part is a line of the results; `--parts=bank,bundle` runs some of them,
`--scale=0.01` a hundredth of the trials.
"""

import functools
import json
import pathlib
import tempfile
import time
from collections.abc import Callable

import tensorflow as tf
from absl import app, flags, logging

from tools.fault_run import damage, interruptions, kills, lives
from tools.fault_run.outcomes import BAD, Outcomes

PARTS: dict[str, tuple[str, Callable]] = {
    "kills": ("processes killed in the life of a task", kills.kills),
    "bank": ("bytes and truncations of a bank", damage.bank),
    "bundle": ("bytes and truncations of a bundle", damage.bundle),
    "task_file": ("bytes and truncations of a task file", damage.task_file),
    "archives": ("bytes of a `.keras` file", damage.archives),
    "decoders": ("mutated inputs of decoders", damage.decoders),
    "interruptions": (
        "errors at calls within `consolidate`",
        interruptions.interruptions,
    ),
    "banks": ("lives of a bank", lives.banks),
    "models": ("lives of a model", lives.models),
}
# Those that need no folder.
IN_MEMORY = ("bank", "interruptions", "banks")

FLAGS = flags.FLAGS
flags.DEFINE_list("parts", list(PARTS), "What is done.")
flags.DEFINE_float("scale", 1.0, "The part of all trials.", 1e-4, 1.0)
flags.DEFINE_string("results", "docs/results/faults.jsonl", "A line a part.")
flags.register_validator(
    "parts",
    lambda parts: bool(parts) and all(part in PARTS for part in parts),
    f"must be some of {', '.join(PARTS)}",
)


def run_part(name: str, scale: float) -> dict:
    """Runs one part; returns its line of the results."""
    outcomes, start = Outcomes(name), time.monotonic()
    call = functools.partial(PARTS[name][1], outcomes, scale)
    if name in IN_MEMORY:
        call()
    else:
        with tempfile.TemporaryDirectory() as folder:
            call(pathlib.Path(folder))
    line = outcomes.to_dict(time.monotonic() - start)
    return {**line, "scale": scale}


def make_table(lines: list[dict]) -> str:
    """Returns the table in Markdown."""
    rows = [
        "| trials of | number | outcomes | bad | minutes |",
        "| --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        found = sorted(line["outcomes"].items(), key=lambda item: -item[1])
        told = ", ".join(f"{name} {count:,}" for name, count in found)
        rows.append(
            f"| {PARTS[line['part']][0]} | {line['trials']:,} | {told} | "
            f"{line['bad']} | {line['seconds'] / 60:.1f} |"
        )
    return "\n".join(rows)


def main(_) -> None:
    logging.set_verbosity(logging.INFO)
    tf.get_logger().setLevel("ERROR")
    lines = []
    for name in FLAGS.parts:
        line = run_part(name, FLAGS.scale)
        lines.append(line)
        logging.info("%s: %s", name, line["outcomes"])
        for example in line["examples"]:
            logging.warning("%s: %s", name, example)
        if FLAGS.results:
            with open(FLAGS.results, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    print(make_table(lines))
    print(f"\nbad outcomes are: {', '.join(BAD)}")


if __name__ == "__main__":
    app.run(main)
