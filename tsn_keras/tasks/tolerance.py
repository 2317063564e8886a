"""What a task may lose in its consolidation."""

import dataclasses
import math

# Each part of a consolidation may lose so much of all that may be lost, from
# the quality that it finds: what an earlier part has won is not spent. Without
# rounds of pruning their share is the quantization's. Where the shares of the
# others are less than one example together, and chance is more than all that
# may be lost, rounds may lose all.
PRUNING_SHARE = 0.7
QUANTIZATION_SHARE = 0.2
PRIVATE_SHARE = 0.1
# An accuracy above this may lose less, in proportion to the mistakes left:
# one point of 99 % would double them.
NEARLY_PERFECT = 0.98
# A loss of quality is clear where it is so many deviations of chance. Where it
# is only one part in so many of a deviation, nothing is seen of it.
CLEAR = 3.0
# Where a loss of quality cannot be told from chance, the validated loss must
# not rise by more than this part either.
RAISED_LOSS = 0.05


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """What may be lost of a validated quality; higher is better.

    A tolerance of 0.01 is one percentage point of an accuracy or the like,
    and 1 % of the value of a loss, of an error, or of anything beyond 1. Above
    98 % an accuracy may lose less, in proportion to the mistakes left:

    `allowed = tolerance * min(1, (1 - quality) / (1 - 0.98))`

    Args:
        part: The user's tolerance.
        quality: That of the dense network.
        lower_is_better: Whether the quality is a negative loss or error.
        loss: The validated loss of the dense network, if there is one.
        num_examples: Of the validation data.
    """

    part: float
    quality: float
    lower_is_better: bool
    loss: float | None
    num_examples: int

    @property
    def is_fraction(self) -> bool:
        """Whether the quality is an accuracy or the like."""
        return not self.lower_is_better and abs(self.quality) <= 1.0

    def allowed(self, part: float | None = None) -> float:
        """Returns what may be lost of the quality.

        Args:
            part: A strategy's own tolerance, which can only be smaller.
        """
        part = self.part if part is None else min(part, self.part)
        if not self.is_fraction:
            return part * abs(self.quality)
        mistakes = (1.0 - self.quality) / (1.0 - NEARLY_PERFECT)
        return part * min(1.0, mistakes)

    @property
    def promised(self) -> float:
        """The lowest quality that the task as a whole may have."""
        return self.quality - self.allowed()

    def allowed_of_rounds(self, part: float | None = None) -> float:
        """Returns what rounds of pruning may lose of the quality.

        Args:
            part: As of `allowed`.
        """
        allowed = self.allowed(part)
        others = (1.0 - PRUNING_SHARE) * allowed * self.num_examples
        if self.is_fraction and self.is_chance and others < 1.0:
            # An accuracy comes in examples: nobody else could use it. Losses
            # and training examples have a say as well.
            return allowed
        return PRUNING_SHARE * allowed

    @property
    def is_chance(self) -> bool:
        """Whether so small a loss of quality cannot be told from chance."""
        return self.allowed() < self._deviation

    @property
    def is_clear(self) -> bool:
        """Whether so large a loss of quality is hardly ever chance."""
        return self.allowed() >= CLEAR * self._deviation

    @property
    def _deviation(self) -> float:
        """What two networks that are equally good differ by.

        Half of their mistakes are taken to be the same.
        """
        if not self.is_fraction:
            return 0.0
        mistakes = max(1.0 - self.quality, 1.0 / self.num_examples)
        return math.sqrt(0.5 * mistakes / self.num_examples)

    def allowed_of_training(self, quality: float) -> float:
        """Returns what may be lost of the quality on training examples.

        What a network knows better of them than of others, it knows by heart,
        and may forget as far as the validation examples can tell: all of it
        where the tolerance is one deviation of chance, nothing where it is a
        third of one, and in between in proportion.

        Args:
            quality: The dense network's on training examples.
        """
        allowed = self.allowed()
        if not self.is_chance:
            return math.inf
        by_heart = max(0.0, quality - self.quality)
        least = 1.0 / CLEAR
        part = (allowed / self._deviation - least) / (1.0 - least)
        return allowed + by_heart * max(0.0, part)

    def keeps_loss(self, loss: float | None) -> bool:
        """Tells whether a validated loss is no reason to refuse."""
        if not self.is_chance or self.loss is None or loss is None:
            return True
        # Of a loss near zero a part is nothing.
        rise = max(RAISED_LOSS * abs(self.loss), self.part)
        return loss <= self.loss + rise
