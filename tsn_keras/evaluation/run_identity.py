"""What a run was begun with, so that it is resumed with nothing else."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tsn_keras.bank import WeightBank
from tsn_keras.data import TrainingData, read_as_new
from tsn_keras.layers import signature

# Examples of training data that are compared. Of validation and test data it
# is all of them: the saved accuracies and bits rest on these.
TRAINING_EXAMPLES = 1024
# So many training examples are compared, in any order, where the order is
# another one each time.
SHUFFLED_EXAMPLES = 1 << 16
PARTS = ("train", "validation", "test")
# Characters of a setting that is kept as it is, not as a digest.
LONGEST_SETTING = 200
DIGEST = re.compile("[0-9a-f]{64}")
MOST_TASKS_TOLD = 3
# What a model's configuration has that says nothing of how it learns.
NO_SETTINGS = ("name", "heads", "tasks")
# Arguments of `fit` that do not say what is learned, or have no content.
NOT_COMPARED = ("verbose", "callbacks")


def describe_tasks(tasks: Sequence) -> list[dict[str, Any]]:
    """Returns what tells tasks from others, by content.

    Validation and test data are read as a whole, training data in part.
    """
    return [
        {
            "name": task.name,
            "num_classes": getattr(task, "num_classes", None),
            "input_shape": list(getattr(task, "input_shape", None) or ()),
            "train": describe_data(task.train, TRAINING_EXAMPLES),
            "validation": describe_data(task.validation),
            "test": describe_data(task.test),
        }
        for task in tasks
    ]


def describe_data(data: Any, most: int | None = None) -> dict[str, Any]:
    """Returns what tells data from others, by content.

    Reading leaves no trace in data sets whose passes are counted. Iterators,
    which would be used up, are not read.

    Args:
        data: `tf.data.Dataset`, `PyDataset` or another iterable of batches.
        most: Number of examples to look at, if not all.

    Returns:
        dict that JSON can hold. `examples` is a digest of inputs, labels and
        weights in their order; `shuffled` takes its place where the order is
        another one each time. There is neither where the examples themselves
        are, as with random augmentation.
    """
    if isinstance(data, Iterator):
        return {"form": type(data).__name__}
    form, batch_size, examples = _read(data, most)
    description = {"form": form, "batch size": batch_size}
    if isinstance(data, tf.data.Dataset):
        description["batches"] = int(data.cardinality())
    *_, again = _read(data, min(len(examples), TRAINING_EXAMPLES))
    if again == examples[: len(again)]:
        return {**description, "examples": _digest(examples)}
    most = most and SHUFFLED_EXAMPLES
    first, second = (sorted(_read(data, most)[-1]) for _ in range(2))
    if first == second:
        description["shuffled"] = _digest(first)
    return description


def _read(data: Any, most: int | None) -> tuple[str, int, list[bytes]]:
    """Returns the form of an example, the batch size, and all digests."""
    form, size, digests = "", 0, []
    with read_as_new(data):
        for batch in TrainingData(data).elements():
            rows = [_digest(row).encode() for row in _rows(batch)]
            if not digests:
                form, size = _form(batch), len(rows)
            digests += rows
            if most is not None and len(digests) >= most:
                break
    return form, size, digests[:most]


def _form(batch: Any) -> str:
    parts = tf.nest.map_structure(np.asarray, batch, expand_composites=True)
    return str(
        tf.nest.map_structure(lambda p: f"{p.dtype} {p.shape[1:]}", parts)
    )


def _rows(batch: Any) -> Iterable[tuple[bytes, ...]]:
    """Returns the content of each example of a batch."""
    parts = tf.nest.flatten(batch, expand_composites=True)
    parts = [np.asarray(part) for part in parts]
    lengths = {len(part) for part in parts if part.ndim}
    if len(lengths) != 1:
        # Ragged or sparse, and in no rows.
        return [tuple(b"".join(_contents(part[np.newaxis])) for part in parts)]
    (length,) = lengths
    columns = (
        _contents(part if part.ndim else np.broadcast_to(part, length))
        for part in parts
    )
    return zip(*columns)


def _contents(rows: np.ndarray) -> Iterator[bytes]:
    kind = f"{rows.dtype.name}{rows.shape[1:]}".encode()
    if rows.dtype.hasobject:
        return (kind + repr(row).encode() for row in rows.tolist())
    return (kind + row.tobytes() for row in rows)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def describe_settings(model: Any, metric: str) -> dict[str, str]:
    """Returns what decides how a model learns, beside its data."""
    config = model.get_config()
    names = [name for name in config if name not in NO_SETTINGS]
    switch = getattr(model, "switch", None)
    if switch is not None:
        names = ["backbone", "kernels", "pruning", "quantization", "sharing"]
        names += ["seed", "tolerance"]
    settings = {name: config[name] for name in names}
    compiled = model.get_compile_config()
    # Which losses tasks have grows with the tasks.
    compiled.pop("tasks", None)
    settings["compile"] = _nameless(compiled)
    settings["metric"] = metric
    if switch is not None:
        settings["frozen weights"] = _digest(
            content
            for value in switch.base_values()
            for content in _contents(value[np.newaxis])
        )
    return {name: _short(signature(part)) for name, part in settings.items()}


def _nameless(config: Any) -> Any:
    """Drops names, such as those of optimizers, which Keras numbers."""
    if isinstance(config, dict):
        return {k: _nameless(v) for k, v in config.items() if k != "name"}
    if isinstance(config, (list, tuple)):
        return [_nameless(value) for value in config]
    return config


def describe_arguments(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Returns what decides how `fit` trains, as far as it has content."""
    return {
        name: repr(value) if _is_plain(value) else type(value).__name__
        for name, value in arguments.items()
        if name not in NOT_COMPARED
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SETTING else _digest([text.encode()])


def bank_of(model: Any) -> WeightBank | None:
    """Returns the bank of a model; other methods than ours have none."""
    bank = getattr(model, "bank", None)
    return bank if isinstance(bank, WeightBank) else None


def describe_record(model: Any, task: str) -> str:
    """Returns a digest of all that a model's bank stores of a task.

    Methods without a bank may change what they store of it.
    """
    bank = bank_of(model)
    if bank is None:
        return ""
    alone = WeightBank(bank.shapes, bank.paths, [bank[task]], bank.base)
    return _digest([alone.to_bytes()])


def differing_settings(
    before: Mapping[str, str], now: Mapping[str, str]
) -> list[str]:
    """Returns a text for each setting that is not as it was."""
    return [
        f"`{name}`{_values(now.get(name), before.get(name))}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]


def _values(now: str | None, before: str | None) -> str:
    # A digest tells nobody anything.
    if any(DIGEST.fullmatch(str(value)) for value in (now, before)):
        return ""
    return f" ({now} instead of {before})"


def differing_tasks(before: Sequence[dict], now: Sequence[dict]) -> list[str]:
    """Returns a text for each task whose data are not as they were.

    Either may have more tasks than the other.
    """
    texts = []
    for number, (one, other) in enumerate(zip(before, now)):
        if one["name"] != other["name"]:
            texts.append(
                f"task {number} is '{other['name']}' instead of "
                f"'{one['name']}'"
            )
        elif one != other:
            parts = ", ".join(_differing_parts(one, other))
            texts.append(f"task '{one['name']}' has {parts}")
    if len(texts) > MOST_TASKS_TOLD:
        more = len(texts) - MOST_TASKS_TOLD
        texts[MOST_TASKS_TOLD:] = [f"and {more} more tasks"]
    return texts


def _differing_parts(one: dict, other: dict) -> Iterator[str]:
    for name in one:
        if name in PARTS:
            keys = {**one[name], **other[name]}
            found = [k for k in keys if one[name].get(k) != other[name].get(k)]
            if found:
                yield f"other `{name}` data ({', '.join(found)})"
        elif one[name] != other[name]:
            yield f"`{name}` {other[name]} instead of {one[name]}"
