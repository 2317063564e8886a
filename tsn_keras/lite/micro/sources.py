"""C++ sources of a file, for firmware."""

import json
from collections.abc import Sequence

from tsn_keras.lite.files.flatbuffer import CUSTOM
from tsn_keras.lite.micro.decode_operators import DECODE
from tsn_keras.lite.micro.tasks import MicroTask

# What methods of MicroMutableOpResolver are called that operators are not.
METHODS = {
    f"{CUSTOM}{DECODE}": "Decode",
    "BATCH_MATMUL": "BatchMatMul",
    "PADV2": "PadV2",
}
# Enough for most, where nobody measured it.
UNMEASURED = 128 * 1024
HEADER = """\
#ifndef {guard}
#define {guard}

// Made by tsn_keras.lite.export_c_array.

extern const unsigned char {name}[];
extern const unsigned int {name}_size;

// {how}
constexpr unsigned int {name}_arena_size = {arena};

// A number x is stored as round(x / scale) + zero. A scale of 0 is that of
// integers, which are stored as they are.
struct {name}_task {{
  const char* name;
  int classes;
  float input_scale;
  int input_zero;
  float output_scale;
  int output_zero;
}};
constexpr int {name}_task_count = {count};
constexpr bool {name}_takes_task = {takes_task};
constexpr {name}_task {name}_tasks[] = {{
{tasks}
}};

// tflite::MicroMutableOpResolver<{name}_operator_count>, which takes these.
constexpr int {name}_operator_count = {operator_count};
template <typename Resolver>
void {name}_register(Resolver& resolver) {{
{operators}
}}

#endif  // {guard}
"""
MAIN = """\
// Predicts with each task of {name}, by TFLite for Microcontrollers.

#include <cmath>
#include <cstdint>

#include "{header}"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {{

alignas(16) uint8_t arena[{name}_arena_size];

// Returns the most likely class of a task, or -1 on an error.
int Predict(tflite::MicroInterpreter& interpreter, int task,
            float (*value)(int)) {{
  if (task < 0 || task >= {name}_task_count) return -1;
  const {name}_task& about = {name}_tasks[task];
  TfLiteTensor* input = interpreter.input({name}_takes_task ? 1 : 0);
  if ({name}_takes_task) interpreter.input(0)->data.i32[0] = task;
  const int size = input->bytes / (input->type == kTfLiteInt8 ? 1 : 4);
  for (int i = 0; i < size; ++i) {{
    if (input->type == kTfLiteInt8) {{
      const float code = std::nearbyint(value(i) / about.input_scale);
      const float stored = code + about.input_zero;
      input->data.int8[i] = std::fmin(std::fmax(stored, -128), 127);
    }} else {{
      input->data.i32[i] = static_cast<int32_t>(value(i));
    }}
  }}
  if (interpreter.Invoke() != kTfLiteOk) return -1;
  const int8_t* scores = interpreter.output(0)->data.int8;
  int best = 0;
  for (int i = 1; i < about.classes; ++i) {{
    if (scores[i] > scores[best]) best = i;
  }}
  return best;
}}

// Put the sensor here.
float Example(int place) {{ return (place % 17) / 16.0f; }}

}}  // namespace

int main() {{
  tflite::InitializeTarget();
  static tflite::MicroMutableOpResolver<{name}_operator_count> operators;
  {name}_register(operators);
  static tflite::MicroInterpreter interpreter(
      tflite::GetModel({name}), operators, arena, sizeof(arena));
  if (interpreter.AllocateTensors() != kTfLiteOk) return 1;
  for (int task = 0; task < {name}_task_count; ++task) {{
    MicroPrintf("%s: %d", {name}_tasks[task].name,
                Predict(interpreter, task, Example));
  }}
  MicroPrintf("arena: %d", static_cast<int>(interpreter.arena_used_bytes()));
  return 0;
}}
"""


def array(name: str, content: bytes, header: str) -> str:
    """Returns the source of an array of bytes."""
    lines = [
        "    " + ", ".join(f"0x{byte:02x}" for byte in content[start:][:12])
        for start in range(0, len(content), 12)
    ]
    return (
        f'#include "{header}"\n\n'
        f"alignas(16) extern const unsigned char {name}[] = {{\n"
        + ",\n".join(lines)
        + f"}};\nextern const unsigned int {name}_size = {len(content)};\n"
    )


def header(
    name: str,
    operators: Sequence[tuple[str, int]],
    tasks: Sequence[MicroTask],
    takes_task: bool,
    arena: int | None,
) -> str:
    """Returns what firmware has to know of an array.

    Args:
        takes_task: bool, whether the first input is the number of the task.
        operators: pairs of `(name, version)`.
        arena: int, bytes of memory that it runs in, `None` if unknown.
    """
    how = (
        "Bytes of memory that it runs in. Measured on a machine of 64 bits, "
        "others\n// take less."
    )
    if arena is None:
        how = (
            "Not measured: tflite_micro was not installed. Lower it as far as "
            "it goes."
        )
    names = [operator for operator, _ in operators]
    return HEADER.format(
        guard=f"{name.upper()}_H_",
        name=name,
        how=how,
        arena=arena or UNMEASURED,
        count=len(tasks),
        takes_task="true" if takes_task else "false",
        tasks="\n".join(map(_task, tasks)),
        operator_count=len(names),
        operators="\n".join(f"  resolver.Add{_method(o)}();" for o in names),
    )


def main(name: str, header: str) -> str:
    """Returns a program that predicts with each task."""
    return MAIN.format(name=name, header=header)


def _task(task: MicroTask) -> str:
    scales = [
        f"{scale:.9e}f, {zero}"
        for scale, zero in (
            task.input_scale or (0.0, 0),
            task.output_scale or (0.0, 0),
        )
    ]
    label = json.dumps(task.name)
    return f"    {{{label}, {task.classes}, {scales[0]}, {scales[1]}}},"


def _method(operator: str) -> str:
    """Returns what the resolver's method for an operator ends with.

    >>> _method("DEPTHWISE_CONV_2D")
    'DepthwiseConv2D'
    """
    if operator in METHODS:
        return METHODS[operator]
    words = operator.split("_")
    return "".join(w if w[0].isdigit() else w.capitalize() for w in words)
