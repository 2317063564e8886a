"""The metadata of a bundle: a JSON text in a buffer of the file."""

import hashlib
import json
import os
import pathlib
from typing import Any

import tensorflow as tf

from tsn_keras.data import check_paths
from tsn_keras.lite.files.flatbuffer import FlatModel

NAME = "TSN_KERAS_BUNDLE"
VERSION = 1
# No name in the text can hold this, since quotes are escaped there.
MARK = b'"file_sha256":"'
BLANK = b"0" * 64


def describe(
    model: Any,
    tasks: list[str],
    class_names: dict[str, list[str]],
    inputs: list[tf.TensorSpec],
    outputs: dict[str, dict[str, tf.TensorSpec]],
) -> dict:
    """Returns the metadata of a bundle without its checksum.

    Args:
        class_names: dict by task, of those that have any.
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
    model.add_metadata(NAME, text.encode())
    blank = model.to_bytes()
    place = blank.rindex(MARK) + len(MARK)
    checksum = hashlib.sha256(blank).hexdigest().encode()
    return blank[:place] + checksum + blank[place + len(checksum) :]


def read_bundle(path: str | os.PathLike) -> tuple[bytes, dict]:
    """Returns the bytes and the metadata of a bundle; refuses other files."""
    check_paths(path=path)
    content = pathlib.Path(path).read_bytes()
    place = content.rfind(MARK) + len(MARK)
    if place < len(MARK):
        raise ValueError(
            f"'{path}' is no bundle of tsn_keras, or is truncated: it holds "
            "no checksum. Write it with `tsn_keras.lite.export_bundle`."
        )
    checksum = content[place : place + len(BLANK)]
    blank = content[:place] + BLANK + content[place + len(BLANK) :]
    if hashlib.sha256(blank).hexdigest().encode() != checksum:
        raise ValueError(
            f"The bundle '{path}' is damaged: its {len(content)} bytes are "
            "not those that were written. Copy it again, or export it anew."
        )
    metadata = json.loads(FlatModel.from_bytes(content).metadata(NAME))
    if metadata["version"] != VERSION:
        raise ValueError(
            f"The bundle '{path}' has version {metadata['version']}; this "
            f"tsn_keras reads version {VERSION}."
        )
    return content, metadata
