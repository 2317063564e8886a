"""Kills processes at random moments of all that a task goes through."""

import multiprocessing
import os
import pathlib
import shutil
import signal
import time

import numpy as np

from tools.fault_run.outcomes import Outcomes

# A life that is not killed takes about so long.
LIFE_SECONDS = 6.0
# What a process may take to start, and to check what it finds.
MOST_WAIT = 120.0


def kills(outcomes: Outcomes, part: float, folder: pathlib.Path) -> None:
    """200 processes, each of which goes on from what the last one left."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tools.fault_run.killed_life"])
    rng = np.random.default_rng(0)
    for number in range(max(1, round(200 * part))):
        checked, failed = folder / "checked", folder / "failed"
        checked.unlink(missing_ok=True)
        process = context.Process(target=_live, args=(str(folder),))
        process.start()
        start = time.monotonic()
        while process.is_alive() and not checked.exists():
            time.sleep(0.01)
            if time.monotonic() - start > MOST_WAIT:
                break
        if not checked.exists():
            text = failed.read_text() if failed.exists() else "no answer"
            process.kill()
            process.join()
            outcomes.add("changed" if failed.exists() else "crash", text)
            shutil.rmtree(folder)
            folder.mkdir()
            continue
        process.join(timeout=float(rng.uniform(0.0, LIFE_SECONDS)))
        where = (folder / "stage").read_text() or "start"
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            outcomes.add(f"killed in {where}")
        elif process.exitcode == 0:
            outcomes.add("ended before")
        else:
            text = failed.read_text() if failed.exists() else where
            outcomes.add("leftover" if "leftover" in text else "crash", text)
            failed.unlink(missing_ok=True)


def _live(folder: str) -> None:
    from tools.fault_run.killed_life import live

    live(pathlib.Path(folder))
