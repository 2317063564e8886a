"""One task's network, converted."""

import dataclasses
import warnings
from typing import Any

import tensorflow as tf
from keras import tree

from tsn_keras.layers import Subnetwork
from tsn_keras.lite.barrier import guard_sparse_integers
from tsn_keras.lite.conversion import convert, refuse_loops
from tsn_keras.lite.formats import Precision
from tsn_keras.lite.int4 import to_int4
from tsn_keras.lite.replay import replay, task_variables
from tsn_keras.lite.rewritten_network import RewrittenNetwork, rewrite_network
from tsn_keras.lite.samples import Samples
from tsn_keras.lite.signature import flat_outputs, input_specs
from tsn_keras.lite.sparse_blocks import loses_weights


def task_content(
    model: Any,
    values: list,
    precision: Precision,
    batch_size: int | None,
    representative: Samples | None = None,
    remove_dead_units: bool = True,
) -> tuple[bytes, dict[str, int]]:
    """Converts backbone and head with constants for their variables.

    Args:
        model: `tsn_keras.ContinualModel`, its head selected.
        values: list of arrays, in the order of `task_variables`.
        precision: `Precision`.
        batch_size: int or `None`.
        representative: `Samples`, for integer files.
        remove_dead_units: bool.

    Returns:
        tuple of the file's bytes and the units removed by layer name.
    """
    # Codes of four bits are exact for the weights as they are.
    equalizes = precision.weights == "int8"
    rewritten = _rewritten(model, values, remove_dead_units, equalizes)
    structure = model.switch.inputs
    specs = input_specs(structure, batch_size)

    def compute(*parts):
        x = tree.pack_sequence_as(structure, parts)
        outputs = rewritten(x) if rewritten else replay(model, x, values)
        return flat_outputs(outputs)

    function = tf.function(compute, input_signature=specs)
    function = function.get_concrete_function()
    if precision.integer:
        refuse_loops(function)
    module = tf.Module()
    module.used = list(function.graph.variables)

    def calibrate():
        for batch in representative.batches(batch_size or 1):
            yield dict(zip([spec.name for spec in specs], batch))

    signatures = {"serving_default": function}
    content = convert(module, signatures, precision.settings(calibrate))
    if precision.sparse and loses_weights(content):
        warnings.warn(
            "The file holds its zeros: the converter would lose weights, since "
            "they lie in blocks that do not fill a layer's inputs.",
            stacklevel=4,
        )
        precision = dataclasses.replace(precision, sparse=False)
        content = convert(module, signatures, precision.settings(calibrate))
    if precision.weights == "int4":
        content = to_int4(content)
    elif precision.weights == "int8" and precision.sparse:
        content = guard_sparse_integers(content)
    return content, rewritten.removed if rewritten else {}


def _rewritten(
    model: Any, values: list, remove_dead_units: bool, equalizes: bool
) -> RewrittenNetwork | None:
    backbone = model.backbone
    inner = backbone.layer if isinstance(backbone, Subnetwork) else backbone
    installation = model.switch
    return rewrite_network(
        inner,
        model.heads.head,
        task_variables(model) + installation.base,
        values + installation.base_values(),
        remove_dead_units,
        equalizes,
    )
