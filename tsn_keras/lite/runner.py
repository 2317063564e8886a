"""Predicts with the .tflite files of tsn_keras, on whatever runs Python.

This file needs `ai-edge-litert` and `numpy`, and nothing else. It lies beside a
bundle or a task file on the device (`tsn_keras.lite.copy_runner` puts it
there), and in tsn_keras it is `tsn_keras.lite.TaskRunner`:

    from runner import TaskRunner

    runner = TaskRunner("all_tasks.tflite")
    runner.tasks                     # names
    runner.select("a")
    scores = runner.predict(x)       # array, batch first
    runner.labels                    # names of the classes, or None

`python runner.py all_tasks.tflite` lists what a file holds.
"""

import base64
import contextlib
import contextvars
import difflib
import functools
import hashlib
import io
import json
import numbers
import os
import pathlib
import struct
import sys
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

# What networks that nobody runs may take in memory. The one that was run last
# is always kept.
MOST_BYTES = 1 << 26

# What the fifth to eighth byte of each .tflite file say.
IDENTIFIER = b"TFL3"
# Where a bundle has its JSON text, and the version of it that is read here.
BUNDLE = "TSN_KERAS_BUNDLE"
VERSION = 1
# No name in the text can hold this, since quotes are escaped there.
MARK = b'"file_sha256":"'
BLANK = b"0" * 64
# Where a task file has its JSON text, and what says that it has a checksum.
TASK = "task.json"
SIGNED = "TSN_KERAS_SIGNED"
# A task that its inputs put so many deviations behind another predicts nothing.
LEAD = 4.0
# Whether each example is of a task of its own.
BATCHES = "example", "together"


class TaskRunner:
    """Predicts with the tasks of a bundle, or with the one of a task file.

    A bundle's signature `select` puts a task out as a network, which is run as
    any file is. So predictions take no longer than those of a task file.

    Any number of threads may use one runner, and their predictions run at the
    same time. What a thread (or an `asyncio` task) selects holds for itself
    alone. A thread that has selected nothing predicts as the task that was
    selected in the thread that made the runner. That of a task file always is.

    Args:
        path: str or path of a file from `tsn_keras.lite.export_bundle`, or
            from `model.export(path, format="litert")`.
        num_threads: How many threads LiteRT uses for one prediction; `None`
            for as many as it chooses.
        xnnpack: bool, whether XNNPACK may be used.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind, truncated, or altered.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        num_threads: int | None = None,
        xnnpack: bool = True,
    ):
        self._interpreter = functools.partial(
            make_interpreter, xnnpack=xnnpack, num_threads=num_threads
        )
        self._content, metadata = read_tasks(path)
        interpreter = self._interpreter(self._content)
        self.is_bundle = metadata is not None
        # An interpreter is run by one thread at a time.
        self._decoding, self._lending = threading.Lock(), threading.Lock()
        # Task, bytes and network of those that nobody runs, oldest first.
        self._idle: list[tuple[str, int, Network]] = []
        self._made_in = threading.current_thread()
        self._selected_there: str | None = None
        self._selected = contextvars.ContextVar("selected", default=None)
        if self.is_bundle:
            self._decode = interpreter.get_signature_runner("select")
            self._content = None
        else:
            network = Network(interpreter)
            metadata = _of_a_task(path, self._content, network)
            name = metadata["tasks"][0]["name"]
            self._idle.append((name, len(self._content), network))
            self._selected_there = name
        self.metadata = metadata

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of their numbers."""
        return tuple(entry["name"] for entry in self.metadata["tasks"])

    @property
    def labels(self) -> list[str] | None:
        """Names of the selected task's classes, if they are known."""
        return _class_names(self._entry(self._resolve(None)))

    @property
    def class_names(self) -> dict[str, list[str]]:
        """Names of the classes, of the tasks that have any."""
        found = {e["name"]: _class_names(e) for e in self.metadata["tasks"]}
        return {name: names for name, names in found.items() if names}

    @property
    def inputs(self) -> list[dict]:
        """Name, shape and dtype of each input; `None` is any size."""
        return self.metadata["inputs"]

    @property
    def outputs(self) -> list[dict]:
        """Name, shape and dtype of each output.

        They are those of the selected task, if tasks have different ones.
        """
        return (
            self.metadata["outputs"]
            or self._entry(self._resolve(None))["outputs"]
        )

    @property
    def bank_sha256(self) -> str | None:
        """SHA-256 of the weight bank that a bundle was made from."""
        return self.metadata.get("bank_sha256")

    @property
    def selected(self) -> str | None:
        """The task that `predict` means here."""
        here = self._selected.get()
        return self._selected_there if here is None else here

    def select(self, name: str) -> None:
        """Puts a task to work, in this thread.

        Raises:
            ValueError: If the file has no such task.
        """
        name = _normal_form(name)
        with self._network(name):
            # It is decoded now, and not by the first prediction.
            self._selected.set(name)
        if threading.current_thread() is self._made_in:
            self._selected_there = name

    def predict(self, x: Any, task: str | None = None) -> Any:
        """Predicts as a task.

        Args:
            x: array, or nest of arrays as the model takes it, batch first, of
                any number of examples.
            task: The selected one by default.

        Returns:
            array, batch first; a dict of arrays if there are several outputs.

        Raises:
            ValueError: If no task is selected, the file has no such task, or
                `x` has another shape.
        """
        with self._network(self._resolve(task)) as network:
            outputs = network.run(x)
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def infer_task(
        self,
        x: Any,
        tasks: list[str] | None = None,
        batch: str = "example",
        max_tasks: int | None = None,
    ) -> "Inferred":
        """Finds the task of each example, or of all together.

        Args:
            x: As in `predict`.
            tasks: Names to choose from; all of the file by default.
            batch: `"example"`, or `"together"` if all are of one task.
            max_tasks: How many tasks predict an example at most. By default
                all that scores without predictions do not rule out.

        Raises:
            ValueError: If the file does not say what tells its tasks apart.
        """
        if isinstance(tasks, str):
            _refuse("tasks", "a list of names", tasks)
        if batch not in BATCHES:
            raise ValueError(
                f"`batch` must be one of {BATCHES}. Received: batch={batch!r}"
            )
        names = self.tasks if tasks is None else map(_normal_form, tasks)
        known = {name: self._known(name) for name in names}
        if not known:
            raise ValueError("`tasks` is empty. Name some, or leave it out.")
        shapes = {one["name"]: one["shape"] for one in self.inputs}
        arrays = _fitting(x, shapes)
        for array in arrays.values():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(
                    "`x` has entries that are not finite. Of no task can it be "
                    "told whether such examples are of it: leave them out."
                )
        rows = [part.reshape(len(part), -1) for part in arrays.values()]
        total = np.zeros((len(rows[0]), len(known)))
        for column, facts in enumerate(known.values()):
            total[:, column] = _of_inputs(facts, rows)
        total = _of_batch(total, batch)
        candidates = _candidates(total, max_tasks, list(known.values()))
        for column, name in enumerate(known):
            chosen = np.flatnonzero(candidates[:, column])
            if chosen.size and _confidences(known[name]):
                part = {n: array[chosen] for n, array in arrays.items()}
                with self._network(name) as network:
                    outputs = network.run(part)
                found = _of_outputs(known[name], outputs)
                total[chosen, column] += found
        if any(map(_confidences, known.values())):
            total[~candidates] = -np.inf
        total = _of_batch(total, batch)
        return _inferred(total, known, batch)

    def _known(self, name: str) -> dict:
        """Returns what tells a task from others."""
        facts = self._entry(name).get("inference")
        if facts is None:
            raise ValueError(
                f"The file does not say what tells task '{name}' from others. "
                "Call `model.learn_inference(task, validation_data)` with the "
                "scores of tsn_keras, and export a bundle again."
            )
        return facts

    def _resolve(self, task: str | None) -> str:
        """Returns a task's name as it is kept, or that of the selected one."""
        name = self.selected if task is None else task
        if name is None:
            raise ValueError(
                "No task is selected. Call `select(name)` first, with one of "
                f"{list(self.tasks)}, in this thread or in the one that made "
                "the runner. Or give `predict` its `task`."
            )
        return _normal_form(name)

    def _entry(self, name: str) -> dict:
        """Returns what the file says of a task."""
        if name not in self.tasks:
            kind = "bundle" if self.is_bundle else "file"
            near = difflib.get_close_matches(str(name), self.tasks, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ValueError(
                f"Unknown task '{name}'. The {kind} holds: {list(self.tasks)}."
                f"{hint} Select one of these, or export a bundle that has the "
                "task."
            )
        return self.metadata["tasks"][self.tasks.index(name)]

    @contextlib.contextmanager
    def _network(self, task: str) -> Iterator["Network"]:
        """Lends a task's network to this thread alone."""
        self._entry(task)
        with self._lending:
            found = [entry for entry in self._idle if entry[0] == task][-1:]
            for entry in found:
                self._idle.remove(entry)
        entry = found[0] if found else self._loaded(task)
        try:
            yield entry[-1]
        finally:
            with self._lending:
                self._idle.append(entry)
                taken = sum(size for _, size, _ in self._idle)
                while taken > MOST_BYTES and len(self._idle) > 1:
                    taken -= self._idle.pop(0)[1]

    def _loaded(self, task: str) -> tuple[str, int, "Network"]:
        file = self._content
        if self.is_bundle:
            number = np.array([self.tasks.index(task)], np.int32)
            with self._decoding:
                file = self._decode(task=number)["file"].tobytes()
        return task, len(file), Network(self._interpreter(file))


class Inferred(NamedTuple):
    """What `infer_task` found, for each example.

    The fields are those of `tsn_keras.inference.InferredTasks`.
    """

    tasks: np.ndarray
    nearest: np.ndarray
    names: tuple[str, ...]
    likelihood: np.ndarray
    unlikeness: np.ndarray


def _inferred(total: np.ndarray, known: dict, batch: str) -> Inferred:
    """Returns the most likely tasks, from scores with a column for each."""
    # What is no number fits least of all.
    total = np.where(np.isnan(total), -np.inf, total)
    rows, best = np.arange(len(total)), total.argmax(axis=1)
    nearest = np.array(list(known), object)[best]
    lowest = np.array([facts["lowest"] for facts in known.values()])[best]
    if batch == "together":
        lowest = lowest / np.sqrt(len(total))
    highest = total[rows, best]
    likelihood = np.exp(total - highest[:, None])
    likelihood /= likelihood.sum(axis=1, keepdims=True)
    chosen = np.where(highest >= lowest, nearest, None)
    return Inferred(chosen, nearest, tuple(known), likelihood, -highest)


def _of_batch(total: np.ndarray, batch: str) -> np.ndarray:
    mean = total.mean(axis=0, keepdims=True)
    return total if batch == "example" else np.repeat(mean, len(total), axis=0)


def _candidates(
    total: np.ndarray, max_tasks: int | None, known: list[dict]
) -> np.ndarray:
    """Returns which tasks may predict which examples."""
    with np.errstate(invalid="ignore"):
        candidates = ~(total.max(axis=1, keepdims=True) - total > LEAD)
    if max_tasks is None:
        return candidates
    if type(max_tasks) is not int:
        _refuse("max_tasks", "an integer or None", max_tasks)
    if max_tasks < 1:
        raise ValueError(
            f"`max_tasks` must be at least 1. Received: max_tasks={max_tasks}"
        )
    if any(len(_confidences(k)) == len(k["scores"]) for k in known):
        raise ValueError(
            "`max_tasks` chooses by scores that need no predictions, and the "
            f"file has none. Received: max_tasks={max_tasks}. Leave it out."
        )
    order = np.argsort(-total, axis=1, kind="stable")
    np.put_along_axis(candidates, order[:, max_tasks:], False, axis=1)
    return candidates


def _confidences(facts: dict) -> list[dict]:
    return [one for one in facts["scores"] if one["kind"] == "confidence"]


def _of_inputs(facts: dict, rows: list[np.ndarray]) -> Any:
    """Returns how near examples are to the mean inputs of a task."""
    total = 0.0
    for score in facts["scores"]:
        if score["kind"] == "input_means":
            means = score["lowest"] + score["step"] * _codes(score)
            parts = _in_parts(rows, len(means))
            near = -np.square(parts - means).mean(axis=1, dtype=np.float64)
            total = total + (near - score["mean"]) / score["deviation"]
    return total


def _codes(score: dict) -> np.ndarray:
    packed = base64.b64decode(score["codes"])
    # What is unpacked may be of any size.
    codes = zlib.decompressobj().decompress(packed, score["count"] + 1)
    return np.frombuffer(codes, np.uint8).astype(np.float32)


def _in_parts(rows: list[np.ndarray], count: int) -> np.ndarray:
    """Returns means of so many parts of neighbours of each row."""
    values = np.concatenate([part.astype(np.float32) for part in rows], axis=1)
    size = values.shape[1]
    if size < count:
        raise ValueError(
            f"`x` has {size} entries a row, and the tasks learned at least "
            f"{count}. Give inputs of the same shape."
        )
    ends = np.linspace(0, size, count + 1).astype(int)
    sums = np.add.reduceat(values, ends[:-1], axis=1)
    return sums / np.diff(ends).astype(np.float32)


def _of_outputs(facts: dict, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """Returns how sure a task is of what it puts out."""
    total = 0.0
    for score in _confidences(facts):
        found = [
            SURE[kind](
                np.asarray(outputs[name], np.float64).reshape(
                    len(outputs[name]), -1
                )
            )
            for name, kind in score["outputs"].items()
        ]
        sure = np.mean(found, axis=0)
        total = total + (sure - score["mean"]) / score["deviation"]
    return total


def _energy(rows: np.ndarray) -> np.ndarray:
    highest = rows.max(axis=1)
    return highest + np.log(np.exp(rows - highest[:, None]).sum(axis=1))


def _decided(rows: np.ndarray) -> np.ndarray:
    rows = rows.clip(SMALLEST, 1.0 - SMALLEST)
    return np.abs(np.log(rows / (1.0 - rows))).mean(axis=1)


# How sure a task is, from logits, from probabilities of classes, from those of
# several labels, and from single logits.
SMALLEST = 1e-7
SURE = {
    "energy": _energy,
    "negative_entropy": lambda rows: (rows * np.log(rows.clip(SMALLEST))).sum(
        axis=1
    ),
    "decided": _decided,
    "far": lambda rows: np.abs(rows).mean(axis=1),
}


class Network:
    """Runs the only signature of a file on any number of examples.

    Integer inputs and outputs are quantized and dequantized.
    """

    def __init__(self, interpreter: Any):
        self._runner = interpreter.get_signature_runner()
        self.inputs = self._runner.get_input_details()
        self.outputs = self._runner.get_output_details()

    @property
    def batch_size(self) -> int | None:
        """The batch size that the file was made for; `None` for any."""
        shapes = [part["shape_signature"] for part in self.inputs.values()]
        sizes = [int(shape[0]) for shape in shapes if len(shape)]
        return sizes[0] if sizes and sizes[0] != -1 else None

    def run(self, x: Any) -> dict[str, np.ndarray]:
        """Runs all rows of a nest of arrays; returns outputs by name."""
        arrays = self._checked(x)
        count = len(next(iter(arrays.values())))
        size = self.batch_size or count
        parts = []
        for start in range(0, count, size):
            # The last rows are filled up with the very last one.
            rows = np.arange(start, start + size).clip(max=count - 1)
            stored = {
                name: _to_stored(array[rows], self.inputs[name])
                for name, array in arrays.items()
            }
            parts.append(self._runner(**stored))
        outputs = {}
        for name, details in self.outputs.items():
            rows = np.concatenate([part[name] for part in parts])
            outputs[name] = _from_stored(rows[:count], details)
        return outputs

    def _checked(self, x: Any) -> dict[str, np.ndarray]:
        """Returns the inputs by name, if they are those of the file exactly."""
        shapes = {name: shape_of(d) for name, d in self.inputs.items()}
        arrays = _fitting(x, shapes)
        for name, array in arrays.items():
            details = self.inputs[name]
            scale, _ = details["quantization"]
            check_cast(array, np.float32 if scale else details["dtype"])
        return arrays


def make_interpreter(
    content: bytes, xnnpack: bool = True, num_threads: int | None = None
) -> Any:
    """Returns an interpreter of ai-edge-litert.

    Args:
        xnnpack: bool, whether XNNPACK may take operators over.
        num_threads: int or `None`, for as many as LiteRT chooses.
    """
    check_content(content)
    if not isinstance(xnnpack, (bool, np.bool_)) and xnnpack not in (0, 1):
        _refuse("xnnpack", "True or False", xnnpack)
    if num_threads is not None:
        is_flag = isinstance(num_threads, (bool, np.bool_))
        if is_flag or not isinstance(num_threads, numbers.Integral):
            _refuse("num_threads", "an integer or None", num_threads)
        if num_threads < 1:
            raise ValueError(
                "`num_threads` must be at least 1. Received: "
                f"num_threads={num_threads}"
            )
    try:
        from ai_edge_litert import interpreter as litert
    except ImportError as error:
        raise ImportError(
            "Running .tflite files needs LiteRT: pip install ai-edge-litert"
        ) from error
    resolvers = litert.OpResolverType
    plain = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return litert.Interpreter(
        model_content=content,
        experimental_op_resolver_type=resolvers.AUTO if xnnpack else plain,
        num_threads=num_threads,
    )


def check_content(content: bytes) -> None:
    """Refuses what cannot be the bytes of a .tflite file."""
    if not isinstance(content, (bytes, bytearray, memoryview)):
        _refuse("content", "the bytes of a .tflite file", content)
    if bytes(content[4:8]) != IDENTIFIER:
        raise ValueError(
            "`content` must be the bytes of a .tflite file. Received: "
            f"{len(content)} bytes that do not begin as one."
        )


def read_tasks(path: str | os.PathLike) -> tuple[bytes, dict | None]:
    """Returns the bytes of a file, and the JSON text of a bundle.

    It is `None` for a task file.
    """
    if not isinstance(path, (str, os.PathLike)):
        _refuse("path", "a path, as str or pathlib.Path", path)
    if not os.fspath(path):
        raise ValueError(
            f"`path` is empty. Give the name of a file. Received: path={path!r}"
        )
    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no file '{path}' (seen from '{os.getcwd()}'). Copy the "
            "bundle or task file there."
        ) from None
    if content[4:8] != IDENTIFIER:
        raise ValueError(
            f"'{path}' is no bundle or task file of tsn_keras, or is damaged: "
            f"its {len(content)} bytes do not begin as a .tflite file. Export "
            "it with `tsn_keras.lite.export_bundle`, or `model.export`."
        )
    try:
        metadata = metadata_of(content)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"'{path}' is truncated or damaged: its {len(content)} bytes "
            f"cannot be read ({error}). Copy it again, or export it anew."
        ) from error
    text = metadata.get(BUNDLE)
    _check_sum(path, content, BUNDLE in metadata or SIGNED in metadata)
    return content, None if text is None else _checked_text(path, text)


def _check_sum(
    path: str | os.PathLike, content: bytes, must_have_one: bool
) -> None:
    """Refuses a file of ours whose bytes are not those that were written."""
    place = content.rfind(MARK) + len(MARK)
    # One of both is enough: a damaged file is no file of others.
    if place < len(MARK) and not must_have_one:
        return
    checksum = content[place : place + len(BLANK)]
    blank = content[:place] + BLANK + content[place + len(BLANK) :]
    if hashlib.sha256(blank).hexdigest().encode() != checksum:
        raise ValueError(
            f"'{path}' is truncated or damaged: its {len(content)} bytes are "
            "not those that were written. Copy it again, or export it anew."
        )


def _checked_text(path: str | os.PathLike, text: bytes) -> dict:
    """Returns what a bundle says of itself, if a bundle can say that."""
    try:
        found = json.loads(text)
        version = found["version"]
        if version == VERSION and type(version) is int and _is_whole(found):
            return found
    except (
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        zlib.error,
    ):
        version = VERSION
    if version != VERSION:
        raise ValueError(
            f"The bundle '{path}' has version {str(version)[:20]}, and this "
            f"runner reads version {VERSION}. Take the runner of the tsn_keras "
            "that wrote the bundle."
        )
    raise ValueError(
        f"The bundle '{path}' is damaged, or was not written by tsn_keras: "
        "what it says of its tasks cannot be. Export it anew."
    )


def _is_whole(text: dict) -> bool:
    """Tells whether tasks, inputs and outputs are described as they must be."""
    entries, common = text["tasks"], text["outputs"]
    names = [entry["name"] for entry in entries]
    of_tasks = [entry["outputs"] for entry in entries] if not common else []
    labels = [_class_names(entry) for entry in entries]
    return (
        type(entries) is list
        and bool(entries)
        and all(type(name) is str and bool(name) for name in names)
        and len(set(names)) == len(names)
        and all(map(_is_specs, (text["inputs"], common or [], *of_tasks)))
        and bool(text["inputs"])
        and all(one is None or _is_list(one, str) for one in labels)
        and all(_tells(e, common or e["outputs"]) for e in entries)
    )


def _tells(entry: dict, outputs: list[dict]) -> bool:
    """Tells whether a task can be inferred by what is said of it, if any."""
    facts = entry.get("inference")
    if facts is None:
        return True
    scores, names = facts["scores"], {output["name"] for output in outputs}
    values = [facts["lowest"]]
    for score in scores:
        values += [score["mean"], score["deviation"]]
        if score["kind"] == "input_means":
            values += [score["lowest"], score["step"]]
            fits = 0 < score["count"] == len(_codes(score))
        else:
            kinds = set(score["outputs"].values())
            fits = score["kind"] == "confidence" and SURE.keys() >= kinds
            fits = fits and score["outputs"].keys() == names
        if not fits or not score["deviation"] > 0.0:
            return False
    return bool(scores) and all(type(one) in (int, float) for one in values)


def _is_specs(parts: Any) -> bool:
    """Tells whether inputs or outputs have a name, a shape and a dtype."""
    return _is_list(parts, dict) and all(
        type(part["name"]) is type(part["dtype"]) is str
        and _is_list(part["shape"], int, type(None))
        for part in parts
    )


def _is_list(value: Any, *kinds: type) -> bool:
    return type(value) is list and all(type(part) in kinds for part in value)


def _of_a_task(
    path: str | os.PathLike, content: bytes, network: Network
) -> dict:
    """Returns for a task file what a bundle says of itself."""
    task = _task_text(content)
    name = task.pop("task", pathlib.Path(path).stem)
    entry = {**task, "name": name}
    return {
        "tasks": [entry],
        "inputs": list(map(_summary, network.inputs.items())),
        "outputs": list(map(_summary, network.outputs.items())),
    }


def _task_text(content: bytes) -> dict:
    """Returns the JSON text of a task file, in a ZIP archive at its end."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.getinfo(TASK)
            # A deflated text may be of any size.
            found = {}
            if text.file_size <= len(content):
                found = json.loads(archive.read(text))
    except (ValueError, RecursionError, EOFError, zlib.error) as error:
        raise ValueError(
            f"The file is damaged: its '{TASK}' cannot be read ({error}). "
            "Export it anew."
        ) from error
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError):
        # Other files say nothing of that kind.
        return {}
    name = found.get("task", "") if type(found) is dict else None
    names = found.get("class_names") if type(found) is dict else None
    if type(name) is not str or not (names is None or _is_list(names, str)):
        raise ValueError(
            f"The file is damaged, or was not written by tsn_keras: its "
            f"'{TASK}' says what cannot be. Export it anew."
        )
    return found


def _normal_form(name: Any) -> Any:
    """Returns a name in the form of Unicode in which names are kept."""
    is_text = isinstance(name, str)
    return unicodedata.normalize("NFC", name) if is_text else name


def _class_names(entry: dict) -> list[str] | None:
    return entry.get("class_names") or entry.get("classes")


def _summary(item: tuple[str, dict]) -> dict:
    name, details = item
    dtype = np.dtype(details["dtype"]).name
    return {"name": name, "shape": shape_of(details), "dtype": dtype}


def shape_of(details: dict) -> list[int | None]:
    """Returns the shape of an input or output; `None` is any size."""
    sizes = map(int, details["shape_signature"])
    return [None if size == -1 else size for size in sizes]


def _by_name(x: Any) -> dict[str, Any]:
    """Returns the parts of a nest of arrays, as files name them.

    >>> _by_name(0)
    {'inputs': 0}
    >>> _by_name([1, (2, 3)])
    {'inputs_0': 1, 'inputs_1': 2, 'inputs_2': 3}
    >>> _by_name({"right": 1, "left": 2})
    {'left': 2, 'right': 1}
    """
    nests = (dict, list, tuple)
    if not isinstance(x, nests):
        return {"inputs": x}
    if isinstance(x, dict):
        if not any(isinstance(part, nests) for part in x.values()):
            return {str(key): x[key] for key in sorted(x)}
    return {f"inputs_{index}": part for index, part in enumerate(_flat(x))}


def _flat(x: Any) -> list:
    if isinstance(x, dict):
        x = [x[key] for key in sorted(x)]
    if isinstance(x, (list, tuple)):
        return [leaf for part in x for leaf in _flat(part)]
    return [x]


def _fitting(x: Any, shapes: dict[str, list]) -> dict[str, np.ndarray]:
    """Returns the parts of `x` by name, if they are a file's inputs exactly.

    Args:
        shapes: Those of the inputs by name; `None` is any size. The first
            axis may have any.
    """
    arrays = {name: np.asarray(part) for name, part in _by_name(x).items()}
    if len(arrays) == len(shapes) == 1:
        arrays = dict(zip(shapes, arrays.values()))
    wanted = {name: (None, *shape[1:]) for name, shape in shapes.items()}
    received = {name: array.shape for name, array in arrays.items()}
    fits = received.keys() == wanted.keys() and all(
        len(shape) == len(wanted[name])
        and all(w in (None, s) for s, w in zip(shape, wanted[name]))
        for name, shape in received.items()
    )
    counts = {shape[0] for shape in received.values()} if fits else {0}
    if len(counts) > 1 or 0 in counts:
        raise ValueError(
            "`x` must have the inputs of the file, at least one row of "
            f"each, of the shapes {wanted}. Received: {received}"
        )
    return arrays


def check_cast(array: np.ndarray, wanted: Any) -> None:
    """Refuses values that a cast to the dtype of an input would change.

    Floats are rounded to floats.

    >>> check_cast(np.array([0.0, 7.0]), np.uint8)
    >>> check_cast(np.array([0.25]), np.uint8)
    Traceback (most recent call last):
    ...
    ValueError: `x` is float64, and the model's inputs are uint8: 0.25 would \
become 0. Convert the data as for training, or export a model with \
`keras.Input(shape, dtype='float32')`.
    """
    wanted = np.dtype(wanted)
    if np.can_cast(array.dtype, wanted):
        return
    message = f"`x` is {array.dtype}, and the model's inputs are {wanted}"
    if array.dtype.kind in "OSU" or wanted.kind in "OSU":
        raise ValueError(f"{message}. Give data of that kind.")
    with np.errstate(all="ignore"):
        cast = array.astype(wanted)
        again = cast.astype(array.dtype)
    if wanted.kind == array.dtype.kind == "f":
        changed = np.isfinite(array) & ~np.isfinite(cast)
    else:
        changed = (again != array) | ((cast < 0) != (array < 0))
    if changed.any():
        first = np.argmax(changed)
        other = "float32" if array.dtype.kind == "f" else array.dtype
        raise ValueError(
            f"{message}: {array.flat[first]} would become {cast.flat[first]}. "
            "Convert the data as for training, or export a model with "
            f"`keras.Input(shape, dtype='{other}')`."
        )


def _to_stored(array: np.ndarray, details: dict) -> np.ndarray:
    """Returns an input as the file takes it."""
    scale, zero = details["quantization"]
    if not scale:
        return array.astype(details["dtype"])
    limits = np.iinfo(details["dtype"])
    codes = np.rint(array / scale) + zero
    return codes.clip(limits.min, limits.max).astype(details["dtype"])


def _from_stored(array: np.ndarray, details: dict) -> np.ndarray:
    """Returns an output as the model gives it."""
    scale, zero = details["quantization"]
    if not scale:
        return array
    return np.float32(scale) * (array.astype(np.float32) - np.float32(zero))


def metadata_of(content: bytes) -> dict[str, bytes]:
    """Returns the metadata of a .tflite file by name.

    Only what is needed of the format is read here, since a library for all of
    it would be one more to install.
    """
    model = _root(content)
    buffers = model.tables(4)
    return {
        entry.text(0): buffers[entry.integer(1)].data(0)
        for entry in model.tables(6)
    }


def _root(content: bytes) -> "_Table":
    return _Table(content, struct.unpack_from("<I", content)[0])


class _Table:
    """A table of a flatbuffer, whose fields have numbers.

    https://flatbuffers.dev/internals describes the format.
    """

    def __init__(self, content: bytes, place: int):
        self._content, self._place = content, place

    def integer(self, field: int) -> int:
        place = self._find(field)
        return self._read("<I", place) if place else 0

    def data(self, field: int) -> bytes:
        start, count = self._vector(field)
        found = self._content[start : start + count]
        if len(found) < count:
            raise struct.error(f"{len(found)} bytes of {count}")
        return found

    def text(self, field: int) -> str:
        return self.data(field).decode()

    def tables(self, field: int) -> list["_Table"]:
        start, count = self._vector(field)
        places = range(start, start + 4 * count, 4)
        return [
            _Table(self._content, place + self._read("<I", place))
            for place in places
        ]

    def _vector(self, field: int) -> tuple[int, int]:
        """Returns first byte and length of a vector or a text."""
        place = self._find(field)
        if not place:
            return 0, 0
        place += self._read("<I", place)
        return place + 4, self._read("<I", place)

    def _find(self, field: int) -> int:
        """Returns the place of a field; 0 if it is left out."""
        fields = self._place - self._read("<i", self._place)
        entry = 4 + 2 * field
        if entry >= self._read("<H", fields):
            return 0
        offset = self._read("<H", fields + entry)
        return self._place + offset if offset else 0

    def _read(self, form: str, place: int) -> int:
        return struct.unpack_from(form, self._content, place)[0]


def _refuse(argument: str, wanted: str, value: Any) -> None:
    raise TypeError(
        f"`{argument}` must be {wanted}. Received: {argument}="
        f"{repr(value)[:120]} (of type {type(value).__name__})"
    )


def _describe(path: str) -> str:
    """Returns a line for each task of a file, and one for its inputs."""
    runner = TaskRunner(path)
    lines = [
        f"{name}: {', '.join(runner.class_names.get(name, []))}".rstrip(": ")
        for name in runner.tasks
    ]
    inputs = [f"{one['dtype']} {one['shape'][1:]}" for one in runner.inputs]
    return "\n".join([*lines, f"takes {', '.join(inputs)} for each example"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python runner.py FILE.tflite")
    print(_describe(sys.argv[1]))
