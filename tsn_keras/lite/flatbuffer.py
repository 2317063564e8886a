"""Reads and changes .tflite files, which are FlatBuffers."""

from typing import Any

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from tsn_keras.lite.garbage import collection_paused

OPERATOR_NAMES = {
    code: name
    for name, code in vars(schema.BuiltinOperator).items()
    if not name.startswith("_")
}
# The codes above stand in a field of their own; here is the limit of the old.
OLD_LIMIT = 127
IDENTIFIER = b"TFL3"
ALIGNMENT = 16
# The place of `data` in the table of a buffer.
DATA_FIELD = 4


@collection_paused()
def read(content: bytes) -> Any:
    """Returns a file's contents as a `schema.ModelT`."""
    return flatbuffer_utils.convert_bytearray_to_object(bytearray(content))


class _AlignedBuilder(flatbuffers.Builder):
    """Puts weights where vector instructions can load them.

    The schema asks for 16 bytes, which Python's builder leaves out.
    """

    def StartVector(self, elemSize, numElems, alignment):
        is_data = elemSize == 1 and numElems >= ALIGNMENT
        alignment = ALIGNMENT if is_data else alignment
        return super().StartVector(elemSize, numElems, alignment)


@collection_paused()
def write(model: Any) -> bytes:
    """Returns the bytes of a `schema.ModelT`."""
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def buffer_places(content: bytes) -> dict[int, tuple[int, int]]:
    """Returns the first byte and the size of all buffers that are not empty.

    Args:
        content: bytes of a file.

    Returns:
        dict of tuples of int by the buffers' numbers.
    """
    model = schema.Model.GetRootAs(content, 0)
    places = {}
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        field = buffer._tab.Offset(DATA_FIELD)
        if field:
            start = buffer._tab.Vector(field)
            places[index] = (start, buffer.DataLength())
    return places


def builtin_code(operator_code: Any) -> int:
    return max(operator_code.builtinCode, operator_code.deprecatedBuiltinCode)


def code_of(model: Any, operator: Any) -> int:
    """Returns the builtin code of an operator."""
    return builtin_code(model.operatorCodes[operator.opcodeIndex])


def add_operator_code(model: Any, code: int, version: int = 1) -> int:
    """Returns the index of an operator in a file, adding it if it is new.

    Args:
        model: `schema.ModelT`, which is changed.
        code: int, the operator's builtin code.
        version: int, the lowest that will do.
    """
    for index, known in enumerate(model.operatorCodes):
        if builtin_code(known) == code:
            known.version = max(known.version, version)
            return index
    added = schema.OperatorCodeT()
    added.builtinCode = code
    added.deprecatedBuiltinCode = min(code, OLD_LIMIT)
    added.version = version
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1


def operators(content: bytes) -> list[tuple[str, int]]:
    """Returns the operators that a file needs, with their versions.

    Args:
        content: bytes of a file.

    Returns:
        sorted list of `(name, version)`; custom operators begin with
        `CUSTOM:`.
    """
    found = set()
    for code in read(content).operatorCodes:
        name = OPERATOR_NAMES[builtin_code(code)]
        if name == "CUSTOM":
            name = f"CUSTOM:{code.customCode.decode()}"
        found.add((name, code.version))
    return sorted(found)
