"""Layers whose kernels are masked and frozen task by task."""

from tsn_keras.layers.given_values import call_given as call_given
from tsn_keras.layers.given_values import computing_with as computing_with
from tsn_keras.layers.heads import Heads as Heads
from tsn_keras.layers.kernel_rule import KernelRule as KernelRule
from tsn_keras.layers.masked_kernel import MaskedKernel as MaskedKernel
from tsn_keras.layers.subnetwork import Subnetwork as Subnetwork
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
