"""The wrapper that gives a layer masks and frozen values for each task."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
from keras import tree

from tsn_keras.keras_internals import flatten_layers, set_regularizer
from tsn_keras.layers.given_values import LayerScope
from tsn_keras.layers.kernel_rule import KernelRule, Kernels
from tsn_keras.layers.masked_kernel import EffectiveRegularizer, MaskedKernel
from tsn_keras.layers.weight_paths import weight_paths

# Scores begin close together: a step moves them by about the learning rate, and
# chance must not outweigh what they learn.
SCORE_RANGE = 0.01
# Whether this thread counts the parameters of the network.
_counts: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "counts_parameters", default=False
)


@contextlib.contextmanager
def counting_parameters() -> Iterator[None]:
    """Leaves masks, frozen values and scores out of `weights`, in this thread.

    So Keras counts the parameters of the network that is wrapped.
    """
    token = _counts.set(True)
    try:
        yield
    finally:
        _counts.reset(token)


@keras.saving.register_keras_serializable(package="tsn_keras")
class Subnetwork(keras.layers.Wrapper):
    """Runs a layer or a whole model through one task's subnetwork.

    During a call every kernel of the wrapped layer is replaced by its
    effective value (see `MaskedKernel`). All other weights are used as they
    are. Until a task sets masks, all slots are trainable and the layer
    computes exactly what the wrapped layer does.

    Args:
        layer: one layer, or a Sequential, functional or subclassed model.
        learned_scores: whether each slot gets a trainable score, for
            `tsn_keras.pruning.ScorePruning`.
        kernels: which weights are kernels: `None` for all weights of two or
            more axes named `embeddings` or `...kernel`, a regular expression
            over paths, a layer class or tuple of them, or a function of a
            variable (see `KernelRule`).
        **kwargs: base layer keyword arguments, such as `name` and `dtype`.

    Example:

    >>> layer = Subnetwork(keras.layers.Dense(4))
    >>> layer(np.ones((2, 3))).shape
    TensorShape([2, 4])
    >>> [kernel.shape for kernel in layer.kernels]
    [(3, 4)]
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        learned_scores: bool = False,
        kernels: Kernels = None,
        **kwargs: Any,
    ):
        super().__init__(layer, **kwargs)
        if not isinstance(learned_scores, bool):
            raise TypeError(
                "`learned_scores` must be True or False. Received: "
                f"learned_scores={learned_scores!r}"
            )
        self.learned_scores = learned_scores
        self.kernel_rule = KernelRule(kernels)
        self.supports_masking = layer.supports_masking
        self.kernels = ()

    def build(self, input_shape=None) -> None:
        if not self.layer.built:
            # A symbolic call builds subclassed models, which have no build().
            self.layer(tree.map_shape_structure(keras.KerasTensor, input_shape))
        paths = weight_paths(self.layer)
        self.kernels = tuple(
            self._add_state(kernel, paths[id(kernel)])
            for kernel in self.kernel_rule.find(self.layer)
        )
        self.built = True

    def _add_state(self, kernel: keras.Variable, path: str) -> MaskedKernel:
        def add(kind, **settings):
            name = f"{path.replace('/', '_')}_{kind}"
            return self.add_weight(shape=kernel.shape, name=name, **settings)

        own_mask = add(
            "own_mask", dtype="bool", initializer="ones", trainable=False
        )
        alike = {"dtype": kernel.dtype, "autocast": False}
        fixed = add("fixed", **alike, initializer="zeros", trainable=False)
        scores = None
        if self.learned_scores:
            random = keras.initializers.RandomUniform(0.0, SCORE_RANGE, seed=0)
            scores = add("scores", **alike, initializer=random)
        masked = MaskedKernel(kernel, own_mask, fixed, scores, path)
        if kernel.regularizer is not None:
            regularizer = EffectiveRegularizer(kernel.regularizer, masked)
            set_regularizer(kernel, regularizer)
        return masked

    @property
    def weights(self) -> list[keras.Variable]:
        weights = super().weights
        if not _counts.get():
            return weights
        state = {id(v) for kernel in self.kernels for v in kernel.state}
        return [v for v in weights if id(v) not in state]

    @counting_parameters()
    def count_params(self) -> int:
        """Returns the number of parameters of the wrapped layer."""
        return super().count_params()

    def call(self, inputs, *args, **kwargs):
        effective = [(k.kernel, k.effective()) for k in self.kernels]
        with LayerScope(self.layer, effective) as scope:
            outputs = self.layer(inputs, *args, **kwargs)
        kernels = self.kernels
        written = [k.path for k in kernels if scope.is_assigned(k.kernel)]
        if written:
            raise ValueError(
                f"Layer '{self.layer.name}' assigns to its kernels {written} "
                "when it is called, as SpectralNormalization does, and a "
                "task's kernel may be changed by its optimizer only. Take the "
                "layer out, compute with a normalized copy of the kernel, or "
                "leave these kernels out with the argument `kernels`."
            )
        scope.hand_on(self)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        return self.layer.compute_output_spec(*args, **kwargs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    @property
    def metrics(self) -> list[keras.Metric]:
        # A wrapped model that was compiled by itself tracks its own loss.
        compiled = getattr(self.layer, "compiled", False)
        return [] if compiled else super().metrics

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "learned_scores": self.learned_scores,
            "kernels": self.kernel_rule.config,
        }


def subnetworks(backbone: keras.layers.Layer) -> list[Subnetwork]:
    """Returns the `Subnetwork` layers within a backbone, itself included."""
    layers = flatten_layers(backbone)
    return [layer for layer in layers if isinstance(layer, Subnetwork)]


def with_subnetwork(
    backbone: keras.layers.Layer, learned_scores: bool, kernels: Kernels
) -> keras.layers.Layer:
    """Returns a backbone that holds `Subnetwork` layers.

    One that holds some is returned as it is, any other one is wrapped.
    """
    found = subnetworks(backbone)
    if not found:
        return Subnetwork(backbone, learned_scores, kernels)
    if kernels is not None:
        raise ValueError(
            f"Backbone '{backbone.name}' holds `Subnetwork` layers, which "
            "choose their kernels themselves. Give `kernels` to them."
        )
    for layer in found:
        if layer.learned_scores != learned_scores:
            raise ValueError(
                f"Layer '{layer.name}' has learned_scores="
                f"{layer.learned_scores}, and the pruning strategy needs "
                f"{learned_scores}. Make it with learned_scores="
                f"{learned_scores}, or choose another `pruning`."
            )
    return backbone
