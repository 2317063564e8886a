"""How well a continual learner did, measured and reported."""

from tsn_keras.evaluation.accuracy_matrix import (
    AccuracyMatrix as AccuracyMatrix,
)
from tsn_keras.evaluation.bit_exactness import BitExactness as BitExactness
from tsn_keras.evaluation.bit_exactness import hash_logits as hash_logits
from tsn_keras.evaluation.html_report import (
    write_html_report as write_html_report,
)
from tsn_keras.evaluation.metrics import average_accuracy as average_accuracy
from tsn_keras.evaluation.metrics import backward_transfer as backward_transfer
from tsn_keras.evaluation.metrics import forgetting as forgetting
from tsn_keras.evaluation.metrics import forward_transfer as forward_transfer
from tsn_keras.evaluation.occupancy import mask_overlap as mask_overlap
from tsn_keras.evaluation.plots import (
    plot_accuracy_against_bytes as plot_accuracy_against_bytes,
)
from tsn_keras.evaluation.plots import (
    plot_accuracy_matrix as plot_accuracy_matrix,
)
from tsn_keras.evaluation.plots import (
    plot_accuracy_over_time as plot_accuracy_over_time,
)
from tsn_keras.evaluation.plots import plot_capacity as plot_capacity
from tsn_keras.evaluation.plots import plot_mask_overlap as plot_mask_overlap
from tsn_keras.evaluation.plots import plot_occupancy as plot_occupancy
from tsn_keras.evaluation.published import PUBLISHED as PUBLISHED
from tsn_keras.evaluation.report import build_report as build_report
from tsn_keras.evaluation.report import write_report as write_report
from tsn_keras.evaluation.scenario_run import ScenarioRun as ScenarioRun

# For users: what completion shows and the reference describes.
__all__ = [
    "AccuracyMatrix",
    "BitExactness",
    "PUBLISHED",
    "ScenarioRun",
    "average_accuracy",
    "backward_transfer",
    "build_report",
    "forgetting",
    "forward_transfer",
    "hash_logits",
    "mask_overlap",
    "plot_accuracy_against_bytes",
    "plot_accuracy_matrix",
    "plot_accuracy_over_time",
    "plot_capacity",
    "plot_mask_overlap",
    "plot_occupancy",
    "write_html_report",
    "write_report",
]


def __dir__() -> list[str]:
    return __all__
