"""The metadata of a bundle: a JSON text in a buffer of the file."""

import hashlib
import json
from typing import Any

import tensorflow as tf

from tsn_keras.lite.files.checksum import signed
from tsn_keras.lite.files.flatbuffer import FlatModel
from tsn_keras.lite.runner import BLANK, BUNDLE, VERSION


def describe(
    model: Any,
    tasks: list[str],
    class_names: dict[str, list[str]],
    inference: dict[str, dict],
    inputs: list[tf.TensorSpec],
    outputs: dict[str, dict[str, tf.TensorSpec]],
) -> dict:
    """Returns the metadata of a bundle without its checksum.

    Args:
        class_names: dict by task, of those that have any.
        inference: dict by task, of those that can be told from others.
        outputs: dict by task, the outputs of its network by name.
    """
    details = {task: _details(outputs[task]) for task in tasks}
    common = details[tasks[0]]
    is_common = all(found == common for found in details.values())
    entries = []
    for task in tasks:
        report = model.report(task)
        entry = {
            "name": task,
            "class_names": class_names.get(task),
            "monitor": report.monitor,
            "quality": round(report.quality_after, 6),
        }
        if task in inference:
            entry["inference"] = inference[task]
        if not is_common:
            entry["outputs"] = details[task]
        entries.append(entry)
    return {
        "version": VERSION,
        "tasks": entries,
        "inputs": [_detail(spec.name, spec) for spec in inputs],
        # What all tasks put out, if they have that in common.
        "outputs": common if is_common else None,
        "bank_sha256": hashlib.sha256(model.bank.to_bytes()).hexdigest(),
    }


def _details(specs: dict[str, tf.TensorSpec]) -> list[dict]:
    return [_detail(name, spec) for name, spec in specs.items()]


def _detail(name: str, spec: Any) -> dict:
    shape = spec.shape.as_list()
    return {"name": name, "shape": shape, "dtype": spec.dtype.name}


def sign(content: bytes, metadata: dict) -> bytes:
    """Puts metadata and the checksum of the whole file into a file.

    The checksum is the SHA-256 of the file with 64 zeros in its place.
    """
    text = json.dumps(
        {**metadata, "file_sha256": BLANK.decode()}, separators=(",", ":")
    )
    model = FlatModel.from_bytes(content)
    model.add_metadata(BUNDLE, text.encode())
    return signed(model.to_bytes())
