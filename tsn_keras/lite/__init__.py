"""Per-task files for LiteRT, the all-task bundle, and their verification."""

from tsn_keras.lite.benchmark import Measurement as Measurement
from tsn_keras.lite.benchmark import benchmark as benchmark
from tsn_keras.lite.bundle import BundleReport as BundleReport
from tsn_keras.lite.bundle import export_bundle as export_bundle
from tsn_keras.lite.bundles.layout import packed_bytes as packed_bytes
from tsn_keras.lite.checks import ExportError as ExportError
from tsn_keras.lite.copy_runner import copy_runner as copy_runner
from tsn_keras.lite.files.flatbuffer import operators as operators
from tsn_keras.lite.micro.figures import MicroFigures as MicroFigures
from tsn_keras.lite.micro_bundle import MicroReport as MicroReport
from tsn_keras.lite.micro_bundle import (
    export_micro_bundle as export_micro_bundle,
)
from tsn_keras.lite.micro_runner import MicroRunner as MicroRunner
from tsn_keras.lite.microcontroller import (
    check_microcontroller as check_microcontroller,
)
from tsn_keras.lite.microcontroller import export_c_array as export_c_array
from tsn_keras.lite.precision import COMPRESSIONS as COMPRESSIONS
from tsn_keras.lite.precision import PRECISIONS as PRECISIONS
from tsn_keras.lite.runner import TaskRunner as TaskRunner
from tsn_keras.lite.runner import make_interpreter as make_interpreter
from tsn_keras.lite.samples import Samples as Samples
from tsn_keras.lite.task_file import ExportReport as ExportReport
from tsn_keras.lite.task_file import export_dense as export_dense
from tsn_keras.lite.task_file import export_task as export_task
from tsn_keras.lite.task_metadata import (
    read_task_metadata as read_task_metadata,
)
from tsn_keras.lite.verification import Agreement as Agreement
from tsn_keras.lite.verification import run_file as run_file
from tsn_keras.lite.verification import verify_content as verify_content
from tsn_keras.lite.verification import verify_file as verify_file

# For users: what completion shows and the reference describes.
__all__ = [
    "COMPRESSIONS",
    "Agreement",
    "BundleReport",
    "ExportError",
    "ExportReport",
    "Measurement",
    "MicroFigures",
    "MicroReport",
    "MicroRunner",
    "PRECISIONS",
    "TaskRunner",
    "benchmark",
    "check_microcontroller",
    "copy_runner",
    "export_bundle",
    "export_c_array",
    "export_dense",
    "export_micro_bundle",
    "export_task",
    "make_interpreter",
    "operators",
    "read_task_metadata",
    "run_file",
    "verify_file",
]


def __dir__() -> list[str]:
    return __all__
