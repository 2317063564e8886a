"""Keras layers that are subnetworks from the start."""

from typing import Any

import keras

from tsn_keras.layers.kernel_rule import Kernels
from tsn_keras.layers.subnetwork import Subnetwork


class _ThinForm(Subnetwork):
    """A `Subnetwork` that takes its wrapped layer's own arguments."""

    wrapped_class: type[keras.layers.Layer]

    def __init__(
        self,
        *args: Any,
        learned_scores: bool = False,
        kernels: Kernels = None,
        **kwargs: Any,
    ):
        layer = self.wrapped_class(*args, **kwargs)
        super().__init__(layer, learned_scores, kernels, **_settings(layer))

    def get_config(self) -> dict[str, Any]:
        return {
            **self.layer.get_config(),
            "learned_scores": self.learned_scores,
            "kernels": self.kernel_rule.config,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None):
        config = dict(config)
        scores = config.pop("learned_scores")
        kernels = config.pop("kernels", None)
        layer = cls.wrapped_class.from_config(config)
        form = cls.__new__(cls)
        Subnetwork.__init__(form, layer, scores, kernels, **_settings(layer))
        return form


def _settings(layer: keras.layers.Layer) -> dict[str, Any]:
    return {"name": layer.name, "dtype": layer.dtype_policy}


def _thin_form(wrapped: type[keras.layers.Layer]) -> type:
    """Makes the class `Subnet...` of a Keras layer class."""
    name = wrapped.__name__
    doc = (
        f"`keras.layers.{name}` with masks for its kernels.\n\n"
        f"Short for `Subnetwork(keras.layers.{name}(...))`; takes the same "
        "arguments,\n`learned_scores` and `kernels` (see `Subnetwork`)."
    )
    attributes = {"wrapped_class": wrapped, "__doc__": doc}
    attributes["__module__"] = __name__
    form = type(f"Subnet{name}", (_ThinForm,), attributes)
    return keras.saving.register_keras_serializable(package="tsn_keras")(form)


SubnetConv1D = _thin_form(keras.layers.Conv1D)
SubnetConv2D = _thin_form(keras.layers.Conv2D)
SubnetConv2DTranspose = _thin_form(keras.layers.Conv2DTranspose)
SubnetConv3D = _thin_form(keras.layers.Conv3D)
SubnetDense = _thin_form(keras.layers.Dense)
SubnetDepthwiseConv2D = _thin_form(keras.layers.DepthwiseConv2D)
SubnetEinsumDense = _thin_form(keras.layers.EinsumDense)
SubnetEmbedding = _thin_form(keras.layers.Embedding)
SubnetGRU = _thin_form(keras.layers.GRU)
SubnetLSTM = _thin_form(keras.layers.LSTM)
SubnetSeparableConv2D = _thin_form(keras.layers.SeparableConv2D)
