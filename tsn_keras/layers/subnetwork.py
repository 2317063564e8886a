"""The layer that gives any Keras layer a mask and frozen values a task."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
from keras import tree

from tsn_keras.layers.kernel_rule import KernelRule, Kernels
from tsn_keras.layers.masked_kernel import EffectiveRegularizer, MaskedKernel
from tsn_keras.layers.weight_paths import weight_paths

# Scores move by about the learning rate in each of their steps, and chance must
# not outweigh what they learn.
SCORE_RANGE = 0.01

_MASKS_APPLY = contextvars.ContextVar("masks_apply", default=True)


@contextlib.contextmanager
def without_masks() -> Iterator[None]:
    """Lets every `Subnetwork` run its layer as it is, in this thread.

    Variables then have the values that a `keras.StatelessScope` around the call
    gives them; the scope of a masked call would hide these.
    """
    token = _MASKS_APPLY.set(False)
    try:
        yield
    finally:
        _MASKS_APPLY.reset(token)


@keras.saving.register_keras_serializable(package="tsn_keras")
class Subnetwork(keras.layers.Wrapper):
    """Runs a layer or a whole model through one task's subnetwork.

    Every kernel of the wrapped layer is replaced, for the duration of a
    call, by its effective value (see `MaskedKernel`); all other weights are
    used as they are. Until a task sets masks all slots are trainable and the
    layer computes exactly what the wrapped layer would.

    The kernels are replaced with `keras.StatelessScope`, so the wrapped layer
    may be of any kind: one layer, a Sequential, functional or subclassed
    model.

    Args:
        layer: `keras.layers.Layer` or `keras.Model` instance.
        learned_scores: bool. Gives each kernel a trainable score a slot, for
            `tsn_keras.pruning.ScorePruning`.
        kernels: Which weights are kernels: `None` for all weights of two or
            more axes named `embeddings` or `...kernel`, a regular expression
            over paths, a layer class or tuple of them, or a function of a
            variable (see `KernelRule`).
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

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
        self.learned_scores = learned_scores
        self.kernel_rule = KernelRule(kernels)
        self.supports_masking = layer.supports_masking
        self.kernels = ()

    def build(self, input_shape=None) -> None:
        if not self.layer.built:
            # A symbolic call builds subclassed models, which have no build().
            self.layer(tree.map_shape_structure(keras.KerasTensor, input_shape))
        found = self.kernel_rule.find(self.layer)
        paths = weight_paths(self.layer)
        self.kernels = tuple(
            self._add_state(kernel, paths[id(kernel)]) for kernel in found
        )
        self.built = True

    def _add_state(self, kernel: keras.Variable, path: str) -> MaskedKernel:
        name = path.replace("/", "_")
        state = {
            "own_mask": self.add_weight(
                shape=kernel.shape,
                dtype="bool",
                initializer="ones",
                trainable=False,
                name=f"{name}_own_mask",
            ),
            "fixed": self.add_weight(
                shape=kernel.shape,
                dtype=kernel.dtype,
                initializer="zeros",
                trainable=False,
                autocast=False,
                name=f"{name}_fixed",
            ),
        }
        if self.learned_scores:
            state["scores"] = self.add_weight(
                shape=kernel.shape,
                dtype=kernel.dtype,
                initializer=keras.initializers.RandomUniform(
                    0.0, SCORE_RANGE, seed=0
                ),
                autocast=False,
                name=f"{name}_scores",
            )
        masked = MaskedKernel(kernel, path=path, **state)
        if kernel.regularizer is not None:
            kernel.regularizer = EffectiveRegularizer(
                kernel.regularizer, masked
            )
        return masked

    def call(self, inputs, *args, **kwargs):
        if not _MASKS_APPLY.get():
            return self.layer(inputs, *args, **kwargs)
        effective = [(k.kernel, k.effective()) for k in self.kernels]
        with keras.StatelessScope(
            state_mapping=effective, collect_losses=True
        ) as scope:
            values = self._values_in(scope)
            outputs = self.layer(inputs, *args, **kwargs)
        self._check_unassigned(values, self._values_in(scope))
        kernels = {id(kernel.kernel) for kernel in self.kernels}
        for variable in self.layer.variables:
            updated = scope.get_current_value(variable)
            if updated is not None and id(variable) not in kernels:
                variable.assign(updated)
        if scope.losses:
            self.add_loss(scope.losses)
        return outputs

    def _values_in(self, scope: keras.StatelessScope) -> list:
        return [scope.get_current_value(k.kernel) for k in self.kernels]

    def _check_unassigned(self, before: list, after: list) -> None:
        """Refuses layers that write to their kernels when they are called."""
        written = [
            kernel.path
            for kernel, one, two in zip(self.kernels, before, after)
            if one is not two
        ]
        if written:
            raise ValueError(
                f"Layer '{self.layer.name}' assigns to its kernels {written} "
                "when it is called, as SpectralNormalization does, and a "
                "task's kernel may be changed by its optimizer only. Take the "
                "layer out, compute with a normalized copy of the kernel, or "
                "leave these kernels out with the argument `kernels`."
            )

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
        config = super().get_config()
        return {
            **config,
            "learned_scores": self.learned_scores,
            "kernels": self.kernel_rule.config,
        }
