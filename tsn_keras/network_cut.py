"""Where a network can be cut in two, so that only one part is computed."""

import dataclasses
import math
from collections.abc import Iterator

import keras

from tsn_keras.declared_inputs import declared_inputs

# A network is cut after about these parts of its work.
PARTS = (0.25, 0.5, 0.75)


@dataclasses.dataclass(frozen=True)
class NetworkCut:
    """A network in two parts, with one tensor between them.

    Args:
        before: `keras.Model`, from the network's inputs to the tensor.
        after: `keras.Model`, from the tensor to the network's output.
        work: int, about the multiplications of `before` for an example.
    """

    before: keras.Model
    after: keras.Model
    work: int

    @property
    def size(self) -> int:
        """The number of activations of an example at the cut."""
        return math.prod(self.after.inputs[0].shape[1:])


def find_cuts(network: keras.layers.Layer) -> list[NetworkCut]:
    """Cuts a network at up to three tensors that carry all that lies before.

    Only Sequential and functional models of Keras' own layers with one output
    show what is between them; others are not cut, nor are those with activity
    regularizers, whose losses the second part would not know.

    Args:
        network: `keras.layers.Layer`, built.

    Returns:
        list of `NetworkCut`, in the order of the network.

    Example:

    >>> dense = [keras.layers.Dense(8) for _ in range(4)]
    >>> cuts = find_cuts(keras.Sequential([keras.Input((8,)), *dense]))
    >>> [cut.work for cut in cuts]
    [64, 128, 192]
    """
    if not _shows_its_layers(network):
        return []
    inputs, output = declared_inputs(network), network.outputs[0]
    *bridges, (_, total) = _bridges(keras.Model(inputs, output))
    chosen = {
        min(range(len(bridges)), key=lambda i: abs(bridges[i][1] - aim))
        for aim in (part * total for part in PARTS)
        if bridges
    }
    return [
        NetworkCut(
            before=keras.Model(inputs, tensor),
            after=keras.Model(tensor, output),
            work=work,
        )
        for tensor, work in (bridges[index] for index in sorted(chosen))
        if 0 < work < total
    ]


def _shows_its_layers(network: keras.layers.Layer) -> bool:
    if len(getattr(network, "outputs", None) or ()) != 1:
        return False
    return all(
        type(layer).__module__.startswith("keras.")
        and getattr(layer, "activity_regularizer", None) is None
        for layer in network._flatten_layers()
    )


def _bridges(graph: keras.Model) -> Iterator[tuple[keras.KerasTensor, int]]:
    """Gives the tensors that alone carry what is computed before them.

    Each comes with the work before it; the last one is the output.
    """
    depths = sorted(graph._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in graph._nodes_by_depth[depth]]
    last_use = {id(graph.outputs[0]): len(nodes)}
    for number, node in enumerate(nodes):
        for tensor in node.input_tensors:
            last_use[id(tensor)] = max(number, last_use.get(id(tensor), 0))
    alive, works = {}, {}
    for number, node in enumerate(nodes):
        works[id(node.operation)] = _work(node)
        alive.update({id(tensor): tensor for tensor in node.outputs})
        alive = {
            key: tensor
            for key, tensor in alive.items()
            if last_use.get(key, 0) > number
        }
        if len(alive) == 1:
            (tensor,) = alive.values()
            later = nodes[number + 1 :]
            if not later or _can_be_fed(tensor, nodes[: number + 1], later):
                yield tensor, sum(works.values())


def _can_be_fed(tensor: keras.KerasTensor, first: list, later: list) -> bool:
    """Tells whether a network may begin at a tensor between its nodes."""
    if getattr(tensor, "_keras_mask", None) is not None:
        # Only the layers before it know the mask.
        return False
    if None in tensor.shape[1:]:
        return False
    # Keras does not cut between two uses of a layer.
    before = {node.operation for node in first}
    return before.isdisjoint(node.operation for node in later)


def _work(node) -> int:
    """Returns about how many multiplications a layer takes an example."""
    weights = getattr(node.operation, "weights", ())
    shape = node.outputs[0].shape
    positions = math.prod(size or 1 for size in shape[1:-1])
    return positions * sum(math.prod(w.shape) for w in weights if w.ndim >= 2)
