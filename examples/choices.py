"""Flags that take several of a few words, as in `--suite=storage,export`."""

from collections.abc import Sequence

from absl import flags


def define_choices(
    name: str, default: Sequence[str], choices: Sequence[str], help: str
) -> None:
    """Defines a flag whose value is a list of words with commas between.

    Args:
        name: str, the flag.
        default: list of str.
        choices: list of str, the words that it may hold.
        help: str, what it is for.
    """
    flags.DEFINE_list(name, default, f"{help} Any of: {', '.join(choices)}.")
    flags.register_validator(
        name,
        lambda words: bool(words) and set(words) <= set(choices),
        f"--{name} takes any of {', '.join(choices)}, with commas between.",
    )
