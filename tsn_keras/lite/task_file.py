"""Exports one task as a .tflite file."""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.data import check_flags
from tsn_keras.files import complete_file
from tsn_keras.lite import checks
from tsn_keras.lite import samples as sampling
from tsn_keras.lite.files.conversion import (
    Holder,
    convert,
    flat_outputs,
    input_specs,
    refuse_loops,
)
from tsn_keras.lite.files.int4 import to_int4
from tsn_keras.lite.files.sparse_weights import leave_out_zeros
from tsn_keras.lite.micro.decode_operators import with_decoded_weights
from tsn_keras.lite.micro.figures import MicroFigures
from tsn_keras.lite.microcontroller import (
    check_micro_arguments,
    check_microcontroller,
    figures_of,
)
from tsn_keras.lite.networks.float32 import check_alike, in_float32
from tsn_keras.lite.networks.links import unwrapped
from tsn_keras.lite.networks.rewriting import rewrite_network
from tsn_keras.lite.networks.run_with_values import (
    run_with_values,
    task_values,
    task_variables,
)
from tsn_keras.lite.precision import (
    Precision,
    check_compression,
    get_precision,
)
from tsn_keras.lite.task_metadata import with_task_metadata
from tsn_keras.lite.verification import (
    Agreement,
    model_outputs,
    verify_content,
    verify_micro,
)
from tsn_keras.tables import Column, Table, Tabular


@dataclasses.dataclass(frozen=True)
class ExportReport(Tabular):
    """What was exported, and how it compares with the model.

    Printed, it is a short table, and so at the end of a notebook's cell.
    `equal` is the fraction of equal predictions.

    Args:
        precision: str, a key of `tsn_keras.lite.PRECISIONS`.
        compression: str, `auto` if zeros are left out, `micro` if
            microcontrollers decode the weights, or else `none`.
        dense_bytes: int, the size of the file of the dense float32 network.
        removed_units: dict by layer name, dead units left out.
        samples: str, what the file was verified with: `verification_data`,
            `representative_data`, `validation_data` (a few examples that the
            task was validated with) or `random`.
        micro: `tsn_keras.lite.MicroFigures` with `micro`, else `None`.
    """

    path: pathlib.Path
    precision: str
    compression: str
    bytes: int
    dense_bytes: int
    removed_units: dict[str, int]
    samples: str
    agreement: Agreement
    micro: MicroFigures | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns what JSON knows: all but the logits."""
        return {
            "path": str(self.path),
            "precision": self.precision,
            "compression": self.compression,
            "bytes": self.bytes,
            "dense_bytes": self.dense_bytes,
            "removed_units": dict(self.removed_units),
            "samples": self.samples,
            "agreement": self.agreement.to_dict(),
            "micro": self.micro and self.micro.to_dict(),
        }

    def _table(self) -> Table:
        entries = {
            "file": self.path.name,
            "precision": self.precision,
            "compression": self.compression,
            "bytes": self.bytes,
            "of dense": self.fraction,
            "equal": self.agreement.agreement,
            "difference": self.agreement.largest_difference,
            "verified with": self.samples,
        }
        forms = {"bytes": ",d", "difference": ".1e"}
        forms |= dict.fromkeys(("of dense", "equal"), ".1%")
        columns = [Column(name, forms.get(name, "")) for name in entries]
        return Table(columns, [list(entries.values())])

    @property
    def fraction(self) -> float:
        """The size of the file, of that of the dense network's file."""
        return self.bytes / self.dense_bytes


def export_task(
    model: Any,
    path: str | os.PathLike,
    task: str | None = None,
    precision: str = "float32",
    compression: str = "auto",
    batch_size: int | None = 1,
    representative_data: Any = None,
    verification_data: Any = None,
    min_agreement: float = 0.9,
    remove_dead_units: bool = True,
    max_arena: int | None = None,
) -> ExportReport:
    """Exports a consolidated task as a plain network in a .tflite file.

    Masks and codebooks are folded into constants. Layers that compute in 16
    bits compute in float32 in the file. It says what `read_task_metadata`
    returns, and so do its standard metadata. The file is run by LiteRT,
    with and without XNNPACK, and compared with the model before it gets its
    name.

    Args:
        model: `tsn_keras.ContinualModel`.
        path: str or path, ending in `.tflite`.
        task: str, the active one by default.
        precision: str, a key of `tsn_keras.lite.PRECISIONS`, what numbers
            the file has.
        compression: str, `auto` leaves zeros out where LiteRT can take it and
            the file gets smaller, `none` stores every weight, `micro` stores
            weights of `int8` as TFLite for Microcontrollers decodes them. The
            latter is run by its own interpreter if `tflite_micro` is
            installed, and its outputs must equal, to the bit, those of the
            file with every weight. Else only the latter is run.
        batch_size: int, or `None` for a file that takes any.
        representative_data: arrays or dataset of the task's inputs, which
            `int8` takes the ranges of activations from.
        verification_data: arrays or dataset, `(x, y)` or inputs alone, that
            the file is compared on. By default `representative_data`, or a few
            examples that the task was validated with, which the model keeps
            until it is saved and loaded; then seeded random inputs.
        min_agreement: float, the fraction of the predictions on given data
            that must equal the model's if the file computes with integers.
        remove_dead_units: bool, whether units that nothing reads are left
            out of the file.
        max_arena: int, the most bytes of memory that a file of `micro` may
            run in; any by default.

    Raises:
        ExportError: If the file cannot be made or computes something else.
        ValueError: If an argument is unusable.
    """
    checks.check_model(model)
    path = checks.checked_path(path)
    checks.check_batch_size(batch_size, model.switch.batch_size)
    checks.check_min_agreement(min_agreement)
    check_flags(remove_dead_units=remove_dead_units)
    kind = get_precision(precision)
    check_compression(compression)
    if compression == "micro":
        check_micro_arguments(precision, batch_size, max_arena)
    elif max_arena is not None:
        raise ValueError(
            "`max_arena` is for compression='micro'. Received: "
            f"compression='{compression}', max_arena={max_arena!r}"
        )
    name = checks.consolidated_task(model, task)
    checks.check_no_text(model)
    network = in_float32(model)
    checks.check_policies(network, name)
    inputs = model.switch.inputs
    representative = verification = None
    if representative_data is not None:
        representative = sampling.take_samples(
            representative_data, inputs, "representative_data"
        )
    if verification_data is not None:
        verification = sampling.verification_samples(
            model, name, verification_data
        )
    if kind.integer and representative is None:
        raise ValueError(
            f"Precision '{precision}' needs `representative_data`: a few "
            "hundred of the task's inputs, such as its validation data."
        )
    samples = verification or representative
    samples = samples or sampling.default_samples(model, name)
    expected = model_outputs(network, samples, name)
    if network is not model:
        check_alike(expected, model_outputs(model, samples, name))
    with network.switch.reading(name):
        plain, removed = task_content(
            network,
            task_values(network, name),
            kind,
            batch_size,
            representative,
            remove_dead_units,
        )
        is_dense = kind.weights == "float32" and not removed
        size = dense_bytes(network, batch_size, plain if is_dense else None)
    verify = functools.partial(
        verify_content,
        expected=expected,
        samples=samples,
        inputs=inputs,
        precision=kind,
        min_agreement=min_agreement,
    )
    content, figures = plain, None
    if compression == "auto":
        content = leave_out_zeros(plain)
    elif compression == "micro":
        # While layers have names.
        check_microcontroller(plain)
        file = with_decoded_weights(plain)
        content, figures = file.content, figures_of([file], max_arena)
    is_plain = content is plain
    content, plain = (
        with_task_metadata(form, model, name, expected, join)
        for form, join in ((content, figures is not None), (plain, False))
    )
    try:
        if figures is None:
            agreement = verify(content)
        else:
            agreement = verify(plain)
            if figures.arena_bytes is not None:
                agreement = verify_micro(
                    content,
                    plain,
                    expected,
                    samples,
                    inputs,
                    kind,
                    min_agreement,
                    figures.arena_bytes,
                    name,
                )
    except checks.ExportError:
        if is_plain or figures is not None:
            raise
        # Some runtime cannot take the sparse form of this network.
        content, is_plain, agreement = plain, True, verify(plain)
    with complete_file(path) as file:
        file.write_bytes(content)
    return ExportReport(
        path,
        precision,
        "none" if is_plain else compression,
        len(content),
        size,
        removed,
        samples.source,
        agreement,
        figures,
    )


def export_dense(
    model: Any, path: str | os.PathLike, batch_size: int | None = 1
) -> pathlib.Path:
    """Exports ONE dense float32 network of the model's architecture.

    Its weights are random. It is what a user without tsn_keras would ship
    for a single task: the yardstick of sizes and latencies.

    Args:
        model: `tsn_keras.ContinualModel`, with a head selected.
        path: str or path, ending in `.tflite`.
        batch_size: int, or `None` for a file that takes any.
    """
    checks.check_model(model)
    path = checks.checked_path(path)
    checks.check_batch_size(batch_size, model.switch.batch_size)
    if model.heads.selected is None or not model.switch.is_built:
        raise ValueError(
            "There is no task yet, and so no head to export. Add one with "
            "`model.add_task(name, head)`, and call `model.fit`."
        )
    checks.check_no_text(model)
    model = in_float32(model)
    # Another thread may select another head meanwhile.
    with model.heads.reading(model.heads.selected):
        content = _dense_content(model, batch_size)
    with complete_file(path) as file:
        file.write_bytes(content)
    return path


def dense_bytes(
    model: Any, batch_size: int | None, content: bytes | None = None
) -> int:
    """Returns the size of the dense network's file, for the head at work.

    The file is made once, if no content that is as large is at hand.
    """
    return model.compiled_heads.kept(
        f"dense bytes, batch of {batch_size}",
        lambda: len(content or _dense_content(model, batch_size)),
    )


def _dense_content(model: Any, batch_size: int | None) -> bytes:
    random = np.random.default_rng(0)
    values = [
        random.uniform(0.01, 0.1, variable.shape).astype(variable.dtype)
        for variable in task_variables(model)
    ]
    precision = get_precision("float32")
    return task_content(model, values, precision, batch_size)[0]


def task_content(
    model: Any,
    values: list,
    precision: Precision,
    batch_size: int | None,
    representative: sampling.Samples | None = None,
    remove_dead_units: bool = True,
) -> tuple[bytes, dict[str, int]]:
    """Converts backbone and head with constants for variables.

    The head is the one that this thread reads, or else the selected one.
    Values are in the order of `task_variables`; integer files need
    representative samples. Returns the file's bytes, and the number of units
    removed by layer name.
    """
    rewritten = rewrite_network(
        unwrapped(model.backbone),
        model.heads.head,
        task_variables(model) + model.switch.base,
        values + model.switch.base_values(),
        remove_dead_units,
        # Codes of four bits are exact for the weights as they are.
        equalize_channels=precision.weights == "int8",
    )
    structure = model.switch.inputs
    specs = input_specs(structure, batch_size)

    def compute(*parts):
        x = tree.pack_sequence_as(structure, parts)
        if rewritten:
            return flat_outputs(rewritten(x))
        return flat_outputs(run_with_values(model, x, values))

    function = tf.function(compute, input_signature=specs)
    with model.compiled_heads.tracing:
        function = function.get_concrete_function()
    if precision.integer:
        refuse_loops(function)
    module = Holder(list(function.graph.variables))

    def calibrate():
        for batch in representative.batches(batch_size or 1):
            yield {
                spec.name: part.astype(spec.dtype.as_numpy_dtype)
                for spec, part in zip(specs, batch)
            }

    signatures = {"serving_default": function}
    content = convert(module, signatures, precision.settings(calibrate))
    if precision.weights == "int4":
        content = to_int4(content)
    return content, rewritten.removed if rewritten else {}
