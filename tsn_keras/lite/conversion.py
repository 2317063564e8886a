"""From TensorFlow functions to the bytes of a .tflite file."""

import pathlib
import re
import tempfile

import tensorflow as tf
from absl import logging

from tsn_keras.lite.errors import ExportError
from tsn_keras.lite.garbage import collection_paused

# The converter adds the whole program to its messages.
MAX_MESSAGE = 1000
UNSUPPORTED = re.compile(r"(?:Select|Flex|Custom) ops: ([\w, ]+)")


@collection_paused()
def convert(
    module: tf.Module,
    signatures: dict[str, tf.types.experimental.ConcreteFunction],
    settings: dict | None = None,
) -> bytes:
    """Converts functions to a file with a signature each.

    Args:
        module: `tf.Module` that holds all variables of the functions.
        signatures: dict of concrete functions by signature name.
        settings: dict of attributes of `tf.lite.TFLiteConverter`.

    Returns:
        bytes.

    Raises:
        ExportError: If the converter fails. The error names the layers whose
            operators LiteRT does not have.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "saved_model")
            tf.saved_model.save(module, path, signatures=signatures)
            converter = tf.lite.TFLiteConverter.from_saved_model(
                path, signature_keys=list(signatures)
            )
            for name, value in (settings or {}).items():
                setattr(converter, name, value)
            return converter.convert()
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
    graphs = [function.graph for function in signatures.values()]
    places = [
        f"{operation.type} in '{operation.name.rpartition('/')[0]}'"
        for graph in graphs
        for operation in _operations(graph)
        if operation.type in names
    ]
    return (
        f"LiteRT has no built-in operator for {', '.join(sorted(names))}. "
        f"Needed by: {'; '.join(sorted(set(places))) or 'unknown layers'}. "
        "Replace these layers by others, or export a SavedModel."
    )


def refuse_loops(function: tf.types.experimental.ConcreteFunction) -> None:
    """Refuses what the converter cannot calibrate, and crashes on.

    Args:
        function: concrete function.

    Raises:
        ExportError: If the function has loops; it names their layers.
    """
    places = sorted(
        {
            operation.name.rpartition("/")[0]
            for operation in _operations(function.graph)
            if operation.type in ("While", "StatelessWhile")
        }
    )
    if places:
        raise ExportError(
            f"Integer files cannot have loops, and there are some in {places}. "
            "Build recurrent layers with `unroll=True`, or use the precision "
            "'dynamic_int8'."
        )


def _operations(graph) -> list:
    found = list(graph.get_operations())
    inner = getattr(graph, "_functions", {})
    for function in inner.values():
        found += getattr(function, "graph", tf.Graph()).get_operations()
    return found
