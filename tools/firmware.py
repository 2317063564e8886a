"""Builds TFLite for Microcontrollers here, and runs a file's C++ with it.

    python -m tools.firmware --file=/tmp/tasks.tflite \\
        --tflite_micro=DIR --flatbuffers=DIR --gemmlowp=DIR --ruy=DIR

The folders are checkouts of tensorflow/tflite-micro, google/flatbuffers (the
tag that `tensorflow/lite/schema/schema_generated.h` asks for), google/gemmlowp
and google/ruy. `tsn_keras.lite.export_c_array` writes the sources of the file,
g++ compiles them as they are, and the answer of each task must be that of
`tsn_keras.lite.MicroRunner`. The library is built once for each
`--output_dir`, in some minutes.
"""

import pathlib
import re
import subprocess

import numpy as np
from absl import app, flags

from tsn_keras import lite

FLAGS = flags.FLAGS
flags.DEFINE_string("file", None, "A file for microcontrollers.")
flags.DEFINE_string("output_dir", "/tmp/firmware", "Where files go.")
for repository in ("tflite_micro", "flatbuffers", "gemmlowp", "ruy"):
    flags.DEFINE_string(repository, None, f"A checkout of {repository}.")

COMPILER = (
    "g++ -std=c++17 -O2 -w -DTF_LITE_STATIC_MEMORY -DNDEBUG -fno-rtti "
    "-fno-exceptions -fno-threadsafe-statics -ffunction-sections "
    "-fdata-sections"
).split()
FOLDERS = (
    "compiler/mlir/lite/core/api",
    "compiler/mlir/lite/schema",
    "lite/core/api",
    "lite/core/c",
    "lite/kernels",
    "lite/kernels/internal",
    "lite/kernels/internal/reference",
    "lite/micro",
    "lite/micro/arena_allocator",
    "lite/micro/kernels",
    "lite/micro/memory_planner",
    "lite/micro/tflite_bridge",
)
OTHERS = re.compile(r"test|mock_")


def compiler() -> list[str]:
    folders = (
        FLAGS.tflite_micro,
        f"{FLAGS.flatbuffers}/include",
        FLAGS.gemmlowp,
        FLAGS.ruy,
    )
    return [*COMPILER, *(f"-I{folder}" for folder in folders)]


def build_library(folder: pathlib.Path) -> pathlib.Path:
    """Compiles the reference kernels and the interpreter."""
    library = folder / "libtflm.a"
    if library.exists():
        return library
    root = pathlib.Path(FLAGS.tflite_micro)
    objects = []
    for part in FOLDERS:
        for source in sorted((root / "tensorflow" / part).glob("*.cc")):
            if not OTHERS.search(source.name):
                name = source.relative_to(root).as_posix().replace("/", "_")
                objects.append(folder / f"{name}.o")
                if not objects[-1].exists():
                    command = [*compiler(), "-c", source, "-o", objects[-1]]
                    subprocess.run(command, check=True)
    subprocess.run(["ar", "rcs", library, *objects], check=True)
    return library


def run(file: pathlib.Path, folder: pathlib.Path) -> dict[str, int]:
    """Compiles the sources of a file; returns what they print."""
    library = build_library(folder)
    source, _, main = lite.export_c_array(file)
    program = folder / file.stem
    command = [*compiler(), f"-I{file.parent}", source, main, library]
    link = ["-Wl,--gc-sections", "-lm", "-o", program]
    subprocess.run([*command, *link], check=True)
    finished = subprocess.run(
        [program], check=True, capture_output=True, text=True
    )
    subprocess.run(["size", program], check=True)
    printed = finished.stderr + finished.stdout
    return {n: int(v) for n, v in re.findall(r"^(.*): (-?\d+)$", printed, re.M)}


def main(_) -> None:
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    file = pathlib.Path(FLAGS.file)
    found = run(file, folder)
    runner = lite.MicroRunner(file)
    places = np.arange(np.prod(runner.input_shape))
    places = places.reshape(1, *runner.input_shape)
    x = np.float32(places % 17 / 16)
    for task in runner.tasks:
        answer = int(runner.predict(x, task).argmax())
        print(f"{task}: C++ {found[task]}, Python {answer}")
        if found[task] != answer:
            raise ValueError(f"The answers of task '{task}' differ.")
    print(f"arena used by the C++: {found['arena']:,} bytes")


if __name__ == "__main__":
    app.run(main)
