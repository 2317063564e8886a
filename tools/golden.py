"""Shows that two commits learn and store the same, to the bit.

Run from the root of a checkout:

    python -m tools.golden --old=c46db4f --new=HEAD

Each commit is checked out into a folder of its own, and `golden_program.py`
beside this file runs with either in turn: with one thread and with two. The
new commit also loads models that the old one saved, in the middle of a task
and after it. Prints a table of digests and exits with 1 if any differ. Between
two stages of a change, `--keep=/tmp/golden --threads=1` takes a third of the
time, and `--cases=planes_of_mlp,fisher_of_convnet` less.

The new commit may also be a folder, such as `.`, which is taken as it is.
"""

import hashlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from tools.checkouts import check_out, commit_of

_OLD = flags.DEFINE_string("old", "c46db4f", "A commit.")
_NEW = flags.DEFINE_string("new", "HEAD", "A commit or a folder.")
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "Numbers of threads.")
_CASES = flags.DEFINE_list("cases", [], "Cases; all by default.")
_KEEP = flags.DEFINE_string(
    "keep",
    None,
    "A folder to keep what the old commit computed, for the next run. By "
    "default both commits run.",
)
_OUTPUT = flags.DEFINE_string("output", "/tmp/golden.json", "Results as JSON.")

PROGRAM = pathlib.Path(__file__).resolve().with_name("golden_program.py")
# Saves models that the new commit loads.
SAVING_CASE = "saved_models"


def run_program(program, checkout, threads, saved, *arguments):
    """Returns the digests of one run of the program, by case."""
    saved.mkdir(exist_ok=True, parents=True)
    output = saved / "digests.json"
    command = [
        *(sys.executable, program, f"--checkout={checkout}"),
        *(f"--threads={threads}", f"--saved={saved}", f"--output={output}"),
        *arguments,
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    start = time.monotonic()
    finished = subprocess.run(
        command, cwd=saved, env=environment, capture_output=True, text=True
    )
    if finished.returncode:
        raise SystemExit(
            f"The program failed with {checkout}:\n{finished.stderr[-8000:]}"
        )
    seconds = time.monotonic() - start
    print(f"  {checkout.name}, {threads} threads: {seconds:.0f} s", flush=True)
    return json.loads(output.read_text(encoding="utf-8"))


def compare(old, new, label):
    """Returns a row for each digest: its name, both digests, whether equal."""
    rows = []
    for case in old:
        for name in dict.fromkeys(itertools.chain(old[case], new[case])):
            pair = old[case].get(name), new[case].get(name)
            rows.append((f"{label} {case}: {name}", *pair, pair[0] == pair[1]))
    return rows


def all_rows(old, new, folder):
    """Runs the program with both checkouts; returns rows of `compare`."""
    rows = []
    cases = f"--cases={','.join(_CASES.value)}"
    # It may be edited while this runs.
    program = shutil.copy(PROGRAM, folder)
    kept = pathlib.Path(_KEEP.value or folder).resolve()
    key = hashlib.sha256(pathlib.Path(program).read_bytes())
    key.update(f"{commit_of(_OLD.value)} {cases}".encode())
    key = key.hexdigest()[:12]
    for threads in _THREADS.value:
        saved = {
            "old": kept / f"{key}-{threads}",
            "new": folder / f"new-{threads}",
        }
        known = saved["old"] / "kept.json"
        if known.exists():
            before = json.loads(known.read_text(encoding="utf-8"))
        else:
            before = run_program(program, old, threads, saved["old"], cases)
            known.write_text(json.dumps(before), encoding="utf-8")
        after = run_program(program, new, threads, saved["new"], cases)
        rows += compare(before, after, f"[{threads}]")
        if SAVING_CASE in before:
            expected = {SAVING_CASE: before[SAVING_CASE]}
            loaded = run_program(program, new, threads, saved["old"], "--load")
            rows += compare(expected, loaded, f"[{threads}] loaded by new,")
    return rows


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        old = check_out(_OLD.value, folder / "old")
        new = check_out(_NEW.value, folder / "new")
        rows = all_rows(old, new, folder)
    for name, *digests, equal in rows:
        print(f"{name:58}", *digests, "equal" if equal else "DIFFERENT")
    different = sum(not equal for *_, equal in rows)
    print(f"{len(rows)} digests, {different} different")
    results = {"old": _OLD.value, "new": _NEW.value, "rows": rows}
    text = json.dumps(results, indent=1)
    pathlib.Path(_OUTPUT.value).write_text(text, encoding="utf-8")
    return 1 if different or not rows else 0


if __name__ == "__main__":
    app.run(main)
