"""Which task an input belongs to, when nobody says."""

from tsn_keras.inference.inferred_tasks import InferredTasks as InferredTasks
from tsn_keras.inference.inferred_tasks import (
    detect_task_change as detect_task_change,
)
from tsn_keras.inference.learning import Known as Known
from tsn_keras.inference.learning import candidates as candidates
from tsn_keras.inference.learning import get_scores as get_scores
from tsn_keras.inference.learning import known_of as known_of
from tsn_keras.inference.learning import learned as learned
from tsn_keras.inference.learning import needs_outputs as needs_outputs
from tsn_keras.inference.learning import portable as portable
from tsn_keras.inference.scores import Confidence as Confidence
from tsn_keras.inference.scores import Inference as Inference
from tsn_keras.inference.scores import InputMeans as InputMeans

# For users: what completion shows and the reference describes.
__all__ = [
    "Confidence",
    "InferredTasks",
    "Inference",
    "InputMeans",
    "detect_task_change",
]


def __dir__() -> list[str]:
    return __all__
