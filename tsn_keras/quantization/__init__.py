"""Which values a task stores: codebooks, their widths, their fine-tuning."""

from tsn_keras.quantization.centroid_tuning import (
    CentroidTuning as CentroidTuning,
)
from tsn_keras.quantization.codebook import Codebook as Codebook
from tsn_keras.quantization.private_widths import (
    search_private_widths as search_private_widths,
)
from tsn_keras.quantization.strategies import (
    AdaptiveCodebook as AdaptiveCodebook,
)
from tsn_keras.quantization.width_search import code_bits as code_bits
from tsn_keras.quantization.width_search import place_all as place_all
from tsn_keras.quantization.width_search import search_widths as search_widths
from tsn_keras.quantization.width_search import widen_worst as widen_worst

# For users: what completion shows and the reference describes.
__all__ = [
    "AdaptiveCodebook",
    "Codebook",
]


def __dir__() -> list[str]:
    return __all__
