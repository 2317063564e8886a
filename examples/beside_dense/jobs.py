"""Runs jobs, as far as they are not done, and tells how it goes."""

import time
from collections.abc import Sequence

from examples.beside_dense.results import Results
from examples.beside_dense.training import Job, run_job


def run_all(
    jobs: Sequence[Job], results: Results, data_dir: str | None = None
) -> None:
    """Runs the jobs that have no line yet, and prints a line for each."""
    waiting = [job for job in jobs if results.find(job.identity()) is None]
    print(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs are done")
    took = {}
    for number, job in enumerate(waiting, start=1):
        start = time.perf_counter()
        line = results.add(run_job(job, data_dir))
        took.setdefault(job.row, []).append(time.perf_counter() - start)
        print(
            f"{number}/{len(waiting)} {describe(job)}: {outcome(line)}, "
            f"{took[job.row][-1]:.0f} s, "
            f"{time_left(waiting[number:], took) / 60:.0f} min left",
            flush=True,
        )


def describe(job: Job) -> str:
    fold = "" if job.fold is None else f" fold {job.fold}"
    return f"{job.row} {job.variant} seed {job.seed}{fold}"


def outcome(line: dict) -> str:
    """Returns the accuracies of all tasks (R2 of regressions), and bytes."""
    sides = [
        f"{side} "
        + " ".join(f"{100 * task[side]:.1f}" for task in line["tasks"])
        for side in ("dense", "ours")
        if side in line["tasks"][0]
    ]
    return (
        f"{', '.join(sides)}, sparsity {line['sparsity']:.1%}, "
        f"bits {line['bits']:.1f}, capacity {line['fraction']:.1%}"
    )


def time_left(waiting: Sequence[Job], took: dict[str, list[float]]) -> float:
    """Returns the seconds that the jobs will take, by those before."""
    everything = sum(took.values(), [])
    seconds = 0.0
    for job in waiting:
        known = took.get(job.row, everything)
        seconds += sum(known) / len(known)
    return seconds
