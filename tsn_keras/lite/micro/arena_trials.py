"""Tries in how much memory a file runs, in a process of its own.

The interpreter of TFLite for Microcontrollers may crash where memory is short,
and not only refuse. This program imports nothing of ours, so that it starts
quickly: `python arena_trials.py FILE`. It reads a number of bytes a line,
and prints 1 for each in which the file runs, else 0.
"""

import sys

import numpy as np


def runs(content: bytes, arena: int) -> bool:
    """Runs a file once, on zeros."""
    from tflite_micro.python.tflite_micro import runtime

    graph = runtime.convert_bytearray_to_object(content).subgraphs[0]
    try:
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)
        for index in range(len(graph.inputs)):
            details = interpreter.get_input_details(index)
            zeros = np.zeros(details["shape"], details["dtype"])
            interpreter.set_input(zeros, index)
        interpreter.invoke()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        wanted = file.read()
    for line in sys.stdin:
        print(int(runs(wanted, int(line))), flush=True)
