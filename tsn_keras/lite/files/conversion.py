"""From TensorFlow functions to the bytes of a .tflite file."""

import itertools
import keyword
import pathlib
import re
import tempfile
import threading
import warnings
from typing import Any

import tensorflow as tf
from absl import logging
from keras import tree

from tsn_keras.lite.checks import ExportError
from tsn_keras.lite.files.flatbuffer import run_converter
from tsn_keras.lite.quiet import quiet

# How much is logged is the same for all threads.
_converting = threading.Lock()
# What the converter says of an interpreter that it uses itself.
DEPRECATED = re.compile(
    r"\s*Warning: tf\.lite\.Interpreter is deprecated", re.IGNORECASE
)
# The converter adds the whole program to its messages.
MAX_MESSAGE = 1000
UNSUPPORTED = re.compile(r"(?:Select|Flex|Custom) ops: ([\w, ]+)")


class Holder(tf.Module):
    """Holds variables and tables of functions that are saved."""

    def __init__(self, held: list):
        super().__init__()
        self.held = held


def convert(
    module: tf.Module,
    signatures: dict[str, tf.types.experimental.ConcreteFunction],
    settings: dict | None = None,
) -> bytes:
    """Converts functions to a file with a signature each.

    The module holds all variables of the functions. Settings are attributes of
    `tf.lite.TFLiteConverter`. If the converter fails, the error names the
    layers whose operators LiteRT does not have.
    """
    with _converting:
        verbosity = logging.get_verbosity()
        logging.set_verbosity(logging.ERROR)
        # For good: other threads may change what is ignored for a while. Once:
        # any change lets warnings come again that came already.
        if DEPRECATED not in [entry[1] for entry in warnings.filters]:
            warnings.filterwarnings("ignore", DEPRECATED.pattern, UserWarning)
        try:
            with quiet(), tempfile.TemporaryDirectory() as folder:
                path = str(pathlib.Path(folder) / "saved_model")
                tf.saved_model.save(module, path, signatures=signatures)
                return run_converter(path, list(signatures), settings or {})
        # The converter raises whatever its passes raise.
        except Exception as error:
            raise ExportError(_explained(error, signatures)) from error
        finally:
            logging.set_verbosity(verbosity)


def _explained(error: Exception, signatures: dict) -> str:
    """Says which layers need operators that LiteRT lacks."""
    listed = UNSUPPORTED.findall(str(error))
    names = {name.strip() for part in listed for name in part.split(",")}
    names = {name.removeprefix("Flex") for name in names if name.strip()}
    if not names:
        return f"LiteRT's converter failed: {str(error)[:MAX_MESSAGE]}"
    places = [
        f"{kind} in '{place}'"
        for function in signatures.values()
        for kind, place in _operations(function)
        if kind in names
    ]
    return (
        f"LiteRT has no built-in operator for {', '.join(sorted(names))}. "
        f"Needed by: {'; '.join(sorted(set(places))) or 'unknown layers'}. "
        "Replace these layers by others, or export a SavedModel."
    )


def refuse_loops(function: tf.types.experimental.ConcreteFunction) -> None:
    """Refuses loops, which the converter cannot calibrate and crashes on."""
    loops = ("While", "StatelessWhile")
    places = {place for kind, place in _operations(function) if kind in loops}
    if places:
        raise ExportError(
            "Integer files cannot have loops, and there are some in "
            f"{sorted(places)}. "
            "Build recurrent layers with `unroll=True`, or use the precision "
            "'dynamic_int8'."
        )


def _operations(
    function: tf.types.experimental.ConcreteFunction,
) -> list[tuple[str, str]]:
    """Returns the kind and the layer of all operations, in loops as well."""
    graph = function.graph.as_graph_def()
    inner = (part.node_def for part in graph.library.function)
    nodes = itertools.chain(graph.node, *inner)
    return [(node.op, node.name.rpartition("/")[0]) for node in nodes]


# Names of arguments that TensorFlow leaves as they are.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")


def part_names(nest: Any, stem: str) -> list[str]:
    """Returns the names of a nest's parts, in flat order.

    >>> part_names(0, "inputs")
    ['inputs']
    >>> part_names([0, 0], "inputs")
    ['inputs_0', 'inputs_1']
    >>> part_names({"left": 0, "right": 0}, "inputs")
    ['left', 'right']
    """
    if not tree.is_nested(nest):
        return [stem]
    if isinstance(nest, dict) and not any(map(tree.is_nested, nest.values())):
        return [str(key) for key in sorted(nest)]
    return [f"{stem}_{index}" for index in range(len(tree.flatten(nest)))]


def input_specs(inputs: Any, batch_size: int | None) -> list[tf.TensorSpec]:
    """Returns the flat, named inputs of a file, from a nest of `KerasTensor`.

    `None` is a batch of any size.
    """
    names = part_names(inputs, "inputs")
    for name in names:
        if not NAME.fullmatch(name) or keyword.iskeyword(name):
            raise ExportError(
                "Inputs of a file need names of letters, digits and '_', that "
                "begin with a letter and are no Python keyword. Rename this "
                f"key of the backbone's inputs: '{name}'"
            )
    return [
        tf.TensorSpec((batch_size, *part.shape[1:]), part.dtype, name)
        for name, part in zip(names, tree.flatten(inputs))
    ]


def flat_outputs(outputs: Any) -> dict[str, Any]:
    """Returns the outputs of a model by the names that files give them."""
    names = part_names(outputs, "outputs")
    return dict(zip(names, tree.flatten(outputs)))
