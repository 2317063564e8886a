"""What TFLite for Microcontrollers needs: its operators, and C arrays."""

import os
import pathlib
import re

from tsn_keras.data import check_strings
from tsn_keras.files import complete_file
from tsn_keras.lite.checks import ExportError, read_file
from tsn_keras.lite.files.flatbuffer import operators
from tsn_keras.lite.files.standard_metadata import without_metadata

# The operators of micro_mutable_op_resolver.h whose reference kernels take
# int8, each with the highest version whose int8 form they have. Read from
# tensorflow/tflite-micro at 90b983c2b3f1480642e040bbd2ddb37b998f3424
# (20 August 2026).
OPERATORS = {
    name: version
    for version, names in {
        1: "EXPAND_DIMS HARD_SWISH PRELU RESHAPE SHAPE SQUEEZE",
        2: (
            "ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION "
            "DEQUANTIZE GATHER LEAKY_RELU LOGISTIC MAX_POOL_2D "
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
    missing = [
        f"{name} version {version}"
        for name, version in found
        if version > OPERATORS.get(name, 0)
    ]
    if missing:
        raise ExportError(
            "The int8 kernels of TFLite for Microcontrollers do not have: "
            f"{', '.join(missing)}. Export with precision='int8', "
            "compression='none' and a static batch size, or replace the layers "
            "that need these operators."
        )
    return found


def export_c_array(
    path: str | os.PathLike, name: str | None = None
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes a .tflite file as C++ source, beside it.

    What the file says of its task, which no firmware reads, is left out.

    Args:
        path: path of the file, which `check_microcontroller` must accept.
        name: str, the array's name; made from the file's name by default.

    Returns:
        tuple of the paths of the `.cc` and the `.h` file.

    Raises:
        ExportError: If microcontrollers cannot run the file.
        ValueError: If the name is no C identifier.
    """
    check_strings(name=name, or_none=True)
    content = without_metadata(read_file(path))
    path = pathlib.Path(path)
    check_microcontroller(content)
    if name is None:
        name = "g_" + re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    if not re.fullmatch(r"[A-Za-z_]\w*", name, flags=re.ASCII):
        raise ValueError(f"`name` must be a C identifier. Received: {name!r}")
    source, header = path.with_suffix(".cc"), path.with_suffix(".h")
    guard = f"{name.upper()}_H_"
    header_text = (
        f"#ifndef {guard}\n#define {guard}\n\n"
        f"extern const unsigned char {name}[];\n"
        f"extern const unsigned int {name}_size;\n\n#endif  // {guard}\n"
    )
    lines = [
        "    " + ", ".join(f"0x{byte:02x}" for byte in content[start:][:12])
        for start in range(0, len(content), 12)
    ]
    source_text = (
        f'#include "{header.name}"\n\n'
        f"alignas(16) extern const unsigned char {name}[] = {{\n"
        + ",\n".join(lines)
        + f"}};\nextern const unsigned int {name}_size = {len(content)};\n"
    )
    with complete_file(source) as file, complete_file(header) as new_header:
        file.write_text(source_text)
        new_header.write_text(header_text)
    return source, header
