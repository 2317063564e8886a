"""What came of trials, counted."""

import collections
import time
from collections.abc import Callable
from typing import Any

# What no trial may come to.
BAD = ("changed", "other error", "hang", "crash", "leftover")
MOST_SECONDS = 2.0
MOST_EXAMPLES = 5


class Outcomes:
    """Counts outcomes, and keeps the first bad ones."""

    def __init__(self, part: str):
        self.part = part
        self.counts: collections.Counter = collections.Counter()
        self.examples: list[str] = []

    def add(self, outcome: str, example: str = "") -> None:
        self.counts[outcome] += 1
        if outcome in BAD and len(self.examples) < MOST_EXAMPLES:
            self.examples.append(f"{outcome}: {example}")

    def try_reading(
        self,
        read: Callable[[], Any],
        expected: Any,
        refusals: tuple[type[Exception], ...],
        example: str,
    ) -> None:
        """Reads what was damaged; it is refused, or is what it was.

        Args:
            expected: What `read` returns of whole data; `None` if it may
                return anything.
        """
        start = time.monotonic()
        try:
            found = read()
        except refusals:
            outcome = "refused"
        except Exception as error:
            outcome = "other error"
            example = f"{example}: {type(error).__name__}: {error}"[:200]
        else:
            if expected is None:
                outcome = "decoded"
            else:
                outcome = "the same" if found == expected else "changed"
        if time.monotonic() - start > MOST_SECONDS:
            outcome = "hang"
        self.add(outcome, example)

    def to_dict(self, seconds: float) -> dict[str, Any]:
        return {
            "part": self.part,
            "trials": self.counts.total(),
            "outcomes": dict(self.counts),
            "bad": sum(self.counts[outcome] for outcome in BAD),
            "examples": self.examples,
            "seconds": round(seconds),
        }
