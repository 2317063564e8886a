"""What TFLite for Microcontrollers needs: its operators, and C arrays."""

import contextlib
import os
import pathlib
import re
from collections import Counter
from collections.abc import Sequence

from tsn_keras.data import check_integers, check_strings
from tsn_keras.files import complete_file
from tsn_keras.lite.checks import ExportError, read_file
from tsn_keras.lite.files.flatbuffer import (
    CUSTOM,
    FlatModel,
    layer_names,
    operators,
)
from tsn_keras.lite.files.standard_metadata import without_metadata
from tsn_keras.lite.micro import sources
from tsn_keras.lite.micro.arena import smallest_arena
from tsn_keras.lite.micro.decode_operators import (
    DECODE,
    DecodedFile,
    check_headers,
)
from tsn_keras.lite.micro.figures import MicroFigures
from tsn_keras.lite.micro.interpreter import has_tflite_micro
from tsn_keras.lite.micro.tasks import read_tasks, takes_task

# The operators of micro_mutable_op_resolver.h whose reference kernels take
# int8, each with the highest version whose int8 form they have. Read from
# tensorflow/tflite-micro at 90b983c2b3f1480642e040bbd2ddb37b998f3424
# (20 August 2026).
OPERATORS = {
    name: version
    for version, names in {
        1: "EXPAND_DIMS HARD_SWISH IF PRELU RESHAPE SHAPE SQUEEZE "
        f"{CUSTOM}{DECODE}",
        2: (
            "ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION "
            "DEQUANTIZE GATHER LEAKY_RELU LESS LOGISTIC MAX_POOL_2D "
            "MAXIMUM MEAN MINIMUM MUL PACK PAD PADV2 QUANTIZE "
            "REDUCE_MAX RELU RELU6 RESIZE_NEAREST_NEIGHBOR RSQRT "
            "SLICE SOFTMAX SPLIT SQUARED_DIFFERENCE STRIDED_SLICE SUB "
            "SUM TANH TRANSPOSE UNPACK"
        ),
        3: "CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV",
        5: "FULLY_CONNECTED",
    }.items()
    for name in names.split()
}


def check_microcontroller(content: bytes) -> list[tuple[str, int]]:
    """Refuses a file that TFLite for Microcontrollers cannot run.

    Returns:
        list of `(name, version)`, the operators that the firmware must
        register.

    Raises:
        ExportError: If its reference kernels lack an operator or a version.
    """
    found = operators(content)
    missing = {
        name: version
        for name, version in found
        if not 1 <= version <= OPERATORS.get(name, 0)
    }
    if missing:
        model = FlatModel.from_bytes(content)
        listed = [
            f"{name} version {version} ({layer_names(model, name)})"
            for name, version in missing.items()
        ]
        raise ExportError(
            "The int8 kernels of TFLite for Microcontrollers do not have: "
            f"{', '.join(listed)}. Export with precision='int8', "
            "compression='micro' or 'none', and a static batch size, or "
            "replace the layers that need these operators."
        )
    check_headers(content)
    return found


def figures_of(
    files: Sequence[DecodedFile], max_arena: int | None, content: bytes = b""
) -> MicroFigures:
    """Checks a file and measures what it takes on a microcontroller.

    Args:
        files: one `DecodedFile` for each task.
        max_arena: int, the most memory that the file may run in.
        content: bytes of the file; by default that of the only task.

    Raises:
        ExportError: If microcontrollers cannot run it, or not in that memory.
    """
    content = content or files[0].content
    check_microcontroller(content)
    largest = max(files, key=lambda file: file.largest_layer)
    arena = None
    if max_arena is not None and largest.largest_layer > max_arena:
        raise ExportError(
            f"The weights of '{largest.largest_name}' take "
            f"{largest.largest_layer:,} bytes when they are decoded, and "
            f"`max_arena` is {max_arena:,}. Make that layer smaller, or give "
            "the network more layers with fewer units each."
        )
    if max_arena is not None or has_tflite_micro():
        arena = smallest_arena(content)
    if max_arena is not None and arena > max_arena:
        decoded = (
            f", of which the weights of '{largest.largest_name}' take "
            f"{largest.largest_layer:,} when they are decoded"
        )
        raise ExportError(
            f"The file needs {arena:,} bytes of memory"
            f"{decoded if largest.largest_layer else ''}, and `max_arena` is "
            f"{max_arena:,}. Make the largest layer smaller, or export fewer "
            "tasks."
        )
    forms = sum((Counter(file.forms) for file in files), Counter())
    return MicroFigures(len(content), arena, largest.largest_layer, dict(forms))


def check_micro_arguments(
    precision: str, batch_size: int | None, max_arena: int | None
) -> None:
    """Refuses what no file of decoded weights can have."""
    if precision != "int8":
        raise ValueError(
            "compression='micro' is for microcontrollers, which compute with "
            "integers: give precision='int8' and `representative_data`. "
            f"Received: precision='{precision}'"
        )
    if batch_size is None:
        raise ValueError(
            "Files for microcontrollers have a static batch size. Give "
            "`batch_size=1`. Received: batch_size=None"
        )
    check_integers(lowest=1, or_none=True, max_arena=max_arena)


def export_c_array(
    path: str | os.PathLike, name: str | None = None
) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """Writes a .tflite file as C++ source, beside it.

    The header has the array, the operators that the firmware registers, the
    names, scales and numbers of classes of all tasks, and, if `tflite_micro` is
    installed, the memory that the file needs. The third file, `_main.cc`, is a
    program that predicts with each task, to begin a firmware with.

    What the file says of its tasks in other forms is left out.

    Args:
        path: path of the file, which `check_microcontroller` must accept.
        name: str, the array's name; made from the file's name by default.

    Returns:
        tuple of the paths of the `.cc`, the `.h` and the `_main.cc` file.

    Raises:
        ExportError: If microcontrollers cannot run the file.
        ValueError: If the name is no C identifier.
    """
    check_strings(name=name, or_none=True)
    whole = read_file(path)
    content = without_metadata(whole)
    path = pathlib.Path(path)
    found = check_microcontroller(whole)
    if name is None:
        name = "g_" + re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    if not re.fullmatch(r"[A-Za-z_]\w*", name, flags=re.ASCII):
        raise ValueError(f"`name` must be a C identifier. Received: {name!r}")
    source, header = path.with_suffix(".cc"), path.with_suffix(".h")
    main = path.with_name(f"{path.stem}_main.cc")
    texts = {
        source: sources.array(name, content, header.name),
        header: sources.header(
            name,
            found,
            read_tasks(whole, path.stem),
            takes_task(whole),
            smallest_arena(content) if has_tflite_micro() else None,
        ),
        main: sources.main(name, header.name),
    }
    with contextlib.ExitStack() as files:
        for target, text in texts.items():
            files.enter_context(complete_file(target)).write_text(text, "utf-8")
    return source, header, main
