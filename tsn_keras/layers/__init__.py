"""Layers whose kernels are masked and frozen task by task."""

from tsn_keras.layers.given_values import call_given as call_given
from tsn_keras.layers.given_values import computing_with as computing_with
from tsn_keras.layers.given_values import (
    computing_with_own_values as computing_with_own_values,
)
from tsn_keras.layers.given_values import given_value as given_value
from tsn_keras.layers.given_values import has_given_values as has_given_values
from tsn_keras.layers.heads import Heads as Heads
from tsn_keras.layers.heads import signature as signature
from tsn_keras.layers.kernel_rule import KernelRule as KernelRule
from tsn_keras.layers.kernel_rule import Kernels as Kernels
from tsn_keras.layers.kernel_rule import (
    is_named_as_kernel as is_named_as_kernel,
)
from tsn_keras.layers.masked_kernel import MaskedKernel as MaskedKernel
from tsn_keras.layers.masked_kernel import assign as assign
from tsn_keras.layers.masked_kernel import read as read
from tsn_keras.layers.subnetwork import Subnetwork as Subnetwork
from tsn_keras.layers.subnetwork import (
    counting_parameters as counting_parameters,
)
from tsn_keras.layers.subnetwork import subnetworks as subnetworks
from tsn_keras.layers.subnetwork import with_subnetwork as with_subnetwork
from tsn_keras.layers.thin_forms import SubnetConv1D as SubnetConv1D
from tsn_keras.layers.thin_forms import SubnetConv2D as SubnetConv2D
from tsn_keras.layers.thin_forms import (
    SubnetConv2DTranspose as SubnetConv2DTranspose,
)
from tsn_keras.layers.thin_forms import SubnetConv3D as SubnetConv3D
from tsn_keras.layers.thin_forms import SubnetDense as SubnetDense
from tsn_keras.layers.thin_forms import (
    SubnetDepthwiseConv2D as SubnetDepthwiseConv2D,
)
from tsn_keras.layers.thin_forms import SubnetEinsumDense as SubnetEinsumDense
from tsn_keras.layers.thin_forms import SubnetEmbedding as SubnetEmbedding
from tsn_keras.layers.thin_forms import SubnetGRU as SubnetGRU
from tsn_keras.layers.thin_forms import SubnetLSTM as SubnetLSTM
from tsn_keras.layers.thin_forms import (
    SubnetSeparableConv2D as SubnetSeparableConv2D,
)
from tsn_keras.layers.training_mode import (
    with_quick_averages as with_quick_averages,
)
from tsn_keras.layers.training_mode import without_noise as without_noise
from tsn_keras.layers.weight_paths import weight_paths as weight_paths

# For users: what completion shows and the reference describes.
__all__ = [
    "Heads",
    "KernelRule",
    "SubnetConv1D",
    "SubnetConv2D",
    "SubnetConv2DTranspose",
    "SubnetConv3D",
    "SubnetDense",
    "SubnetDepthwiseConv2D",
    "SubnetEinsumDense",
    "SubnetEmbedding",
    "SubnetGRU",
    "SubnetLSTM",
    "SubnetSeparableConv2D",
    "Subnetwork",
    "subnetworks",
    "weight_paths",
    "with_subnetwork",
]


def __dir__() -> list[str]:
    return __all__
