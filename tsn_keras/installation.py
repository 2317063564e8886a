"""Which task's values the network computes with at the moment."""

import contextlib
import dataclasses
from collections.abc import Iterator

import keras
import numpy as np

from tsn_keras.layers.heads import Heads
from tsn_keras.layers.masked_kernel import MaskedKernel, assign
from tsn_keras.layers.subnetwork import Subnetwork
from tsn_keras.layers.weight_paths import weight_paths


def subnetworks(backbone: keras.layers.Layer) -> list[Subnetwork]:
    """Returns the `Subnetwork` layers within a backbone, itself included."""
    layers = backbone._flatten_layers()
    return [layer for layer in layers if isinstance(layer, Subnetwork)]


def adapted_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers whose state comes from `adapt`, outermost only.

    Args:
        layer: `keras.layers.Layer` that may hold some.
    """
    if hasattr(layer, "adapt"):
        return [layer]
    return [found for inner in layer._layers for found in adapted_layers(inner)]


def frozen_weights(backbone: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the weights that nothing trains, as a dense base of all tasks.

    These are all weights of layers with `trainable=False`, and what layers
    such as `Normalization` have found by `adapt`. Other weights that were
    never trainable, such as moving statistics, change in training and belong
    to the task, unless their layer is frozen.

    Args:
        backbone: `keras.layers.Layer`, built.

    Raises:
        ValueError: If a weight is frozen and its layer is not.
    """
    frozen = []
    for layer in backbone._flatten_layers():
        # `weights` holds those of the layers within, too.
        own = [w for w in layer._trainable_variables if not w.trainable]
        if not layer.trainable or hasattr(layer, "adapt"):
            frozen += own + layer._non_trainable_variables
        elif own:
            # Keras would not save that, and a loaded model would train them.
            raise ValueError(
                f"Weights {[weight.path for weight in own]} are frozen and "
                f"their layer '{layer.name}' is not. Freeze whole layers with "
                "`layer.trainable = False`."
            )
    return [weight for weight in frozen if not weight.trainable]


@dataclasses.dataclass
class Snapshot:
    """Values of the network that are to come back."""

    head: int | None
    state: list[np.ndarray]
    private: list[np.ndarray]


class Installation:
    """Puts a task's kernels, private variables and head to work.

    Args:
        backbone: `keras.layers.Layer`, built.
        heads: `Heads`.
    """

    def __init__(self, backbone: keras.layers.Layer, heads: Heads):
        self.backbone = backbone
        self.heads = heads
        found = [k for s in subnetworks(backbone) for k in s.kernels]
        self.kernels: list[MaskedKernel] = found
        paths = weight_paths(backbone, transparent=Subnetwork)
        for kernel in found:
            kernel.rename(paths[id(kernel.kernel)])
        masked = {id(v) for k in found for v in (k.kernel, *k.state)}
        weights = [w for w in backbone.weights if id(w) not in masked]
        frozen = set(map(id, frozen_weights(backbone)))
        self.base = [w for w in weights if id(w) in frozen]
        self.private_of_backbone = [w for w in weights if id(w) not in frozen]
        layers = backbone._flatten_layers()
        self._trainable = [(layer, layer.trainable) for layer in layers]

    @property
    def private(self) -> list[keras.Variable]:
        """The private variables: the backbone's and the selected head's."""
        return self.private_of_backbone + self.heads.head.weights

    @property
    def trainable_private(self) -> list[keras.Variable]:
        return [variable for variable in self.private if variable.trainable]

    @property
    def state(self) -> list[keras.Variable]:
        """The variables that make kernels effective, scores left out."""
        return [
            variable
            for kernel in self.kernels
            for variable in kernel.state
            if variable is not kernel.scores
        ]

    def check_base(self) -> None:
        """Refuses frozen weights that were made trainable afterwards."""
        thawed = [v.path for v in self.base if v.trainable]
        if thawed:
            raise ValueError(
                f"Weights {thawed} were frozen (`trainable=False`) when the "
                "ContinualModel was made, so all tasks share them and they "
                "must stay as they are. Set `trainable = False` again, or make "
                "another ContinualModel of the backbone as it is now."
            )

    @contextlib.contextmanager
    def trainable_as_made(self) -> Iterator[None]:
        """Lets layers be trainable as when the model was made, in their config.

        Training may freeze some for a while. A model that was saved then must
        find the same kernels when it is loaded.
        """
        present = [(layer, layer.trainable) for layer, _ in self._trainable]
        try:
            for layer, trainable in self._trainable:
                layer._trainable = trainable
            yield
        finally:
            for layer, trainable in present:
                layer._trainable = trainable

    def base_values(self) -> list[np.ndarray]:
        return list(map(keras.ops.convert_to_numpy, self.base))

    def install_base(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self.base, values):
            variable.assign(value)
        for layer in adapted_layers(self.backbone):
            if isinstance(layer, keras.layers.Normalization):
                # It computes with constants made of its weights.
                layer.finalize_state()

    def install_kernels(
        self, values: list[np.ndarray], is_stored: bool = False
    ) -> None:
        for kernel, value in zip(self.kernels, values):
            kernel.install(value, is_stored)

    def install_private(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self.private, values):
            assign(variable, value)

    def private_values(self) -> list[np.ndarray]:
        return list(map(keras.ops.convert_to_numpy, self.private))

    def snapshot(self) -> Snapshot:
        """Takes down what a running task has at work."""
        return Snapshot(
            head=self.heads.selected,
            state=list(map(keras.ops.convert_to_numpy, self.state)),
            private=self.private_values(),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Brings a snapshot back; its head must be selected."""
        for variable, value in zip(self.state, snapshot.state):
            variable.assign(value)
        self.install_private(snapshot.private)
