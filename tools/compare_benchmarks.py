"""Compares what two commits cost, measured in turn on one machine.

Run from the root of a checkout, with nothing else at work:

    python -m tools.compare_benchmarks --old=c46db4f --new=HEAD

Each round runs `python -m examples.benchmark` of both commits, once in either
order (old new, new old, ...). The ratio of a round is new over old. Prints the
median of the ratios and their range: first of what was measured itself, then of
what was measured over plain Keras in the same process, which tells less about
the state of the machine.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

from tools.checkouts import ROOT, check_out

# Arguments of `examples.benchmark`, by what is measured.
MEASURES = {
    "step": ["--suite=training", "--part=step"],
    "inference": ["--suite=training", "--part=inference"],
    "memory": ["--suite=memory"],
    "consolidation": ["--suite=consolidation"],
    # With a search for the slots of each kernel.
    "pruning_on": [
        "--suite=consolidation",
        "--pruning_tolerance=0.02",
        "--held_out_rows=2000",
    ],
    "import": ["--suite=imports"],
}
# Files of this checkout that both commits are measured with, since earlier
# commits lack a flag. They use public names only.
SHARED = ["examples/benchmarks/consolidation.py"]

_OLD = flags.DEFINE_string("old", "c46db4f", "A commit or a folder.")
_NEW = flags.DEFINE_string("new", "HEAD", "A commit or a folder.")
_MEASURE = flags.DEFINE_list("measure", list(MEASURES), "What to measure.")
_NETWORK = flags.DEFINE_string(
    "network", "mlp_100,mlp_2000,convnet", "Networks of `examples.benchmark`."
)
_ROWS = flags.DEFINE_integer("rows", 2000, "Training images to consolidate.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Runs of each commit.")
_REPETITIONS = flags.DEFINE_integer("repetitions", 3, "Measurements in a run.")
_OUTPUT = flags.DEFINE_string(
    "output", "/tmp/compare_benchmarks.json", "Results as JSON."
)


def prepare(commit: str, folder: pathlib.Path) -> pathlib.Path:
    """Returns a folder with a commit's files and the shared ones."""
    source = check_out(commit, folder / "files")
    checkout = folder / "checkout"
    for part in ("examples", "tsn_keras"):
        shutil.copytree(source / part, checkout / part)
    for path in SHARED:
        shutil.copy(ROOT / path, checkout / path)
    return checkout


def measure(checkout: pathlib.Path, arguments: list[str]) -> dict[str, tuple]:
    """Returns the value and its ratio to plain Keras of each measurement."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "examples.benchmark", *arguments]
            + [f"--network={_NETWORK.value}", f"--rows={_ROWS.value}"]
            + [f"--repetitions={_REPETITIONS.value}", f"--output_dir={folder}"],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{checkout} failed:\n{done.stderr[-4000:]}")
        (file,) = pathlib.Path(folder).glob("*.json")
        return {
            row["name"]: _value_and_ratio(row)
            for row in json.loads(file.read_text(encoding="utf-8"))
        }


def _value_and_ratio(row):
    if "seconds" in row:
        return row["seconds"], row["seconds"] / row["keras_seconds"]
    (value,) = (row[key] for key in row if key.startswith("ours_"))
    return value, row["ratio"]


def compare(
    checkouts: list[pathlib.Path], arguments: list[str]
) -> dict[str, np.ndarray]:
    """Returns ratios new/old by name, `[rounds, 2]`: of values, of ratios."""
    ratios = {}
    for number in range(_ROUNDS.value):
        results = {}
        # What the machine does meanwhile shall not favour one of them.
        for checkout in checkouts if number % 2 else checkouts[::-1]:
            results[checkout] = measure(checkout, arguments)
        old, new = (results[checkout] for checkout in checkouts)
        for name in new:
            ratio = np.divide(new[name], old[name])
            ratios.setdefault(name, []).append(ratio)
    return {name: np.array(found) for name, found in ratios.items()}


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    rows = []
    print(f"{'new/old':<48}{'itself':<24}over plain Keras")
    with tempfile.TemporaryDirectory() as folder:
        checkouts = [
            prepare(commit, pathlib.Path(folder, name))
            for name, commit in (("old", _OLD.value), ("new", _NEW.value))
        ]
        for what in _MEASURE.value:
            for name, ratios in compare(checkouts, MEASURES[what]).items():
                columns = [
                    f"{np.median(part):.3f} ({part.min():.3f} to "
                    f"{part.max():.3f})"
                    for part in ratios.T
                ]
                label = f"{what}: {name}"
                print(f"{label:<48}{columns[0]:<24}{columns[1]}", flush=True)
                rows.append([what, name, ratios.tolist()])
    results = {"old": _OLD.value, "new": _NEW.value, "rows": rows}
    text = json.dumps(results, indent=1)
    pathlib.Path(_OUTPUT.value).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
