"""Removes from a file what nothing in it needs."""

from tsn_keras.lite.files.flatbuffer import FlatModel, Graph, called_graphs

STAYS = ("min_runtime_version",)


def slim(content: bytes) -> bytes:
    """Removes names of tensors, equal buffers, and most metadata."""
    model = FlatModel.from_bytes(content)
    for graph in model.graphs:
        graph.strip_tensors()
    model.keep_metadata(STAYS)
    model.drop_buffers(join=True)
    return model.to_bytes()


def drop_unreachable(model: FlatModel) -> None:
    """Removes the graphs that no signature runs."""
    reachable = set(model.entry_graphs())
    waiting = list(reachable)
    while waiting:
        for operator in model.graphs[waiting.pop()].operators:
            found = set(called_graphs(operator)) - reachable
            reachable |= found
            waiting += found
    model.keep_graphs(sorted(reachable))


def drop_unused_tensors(graph: Graph) -> None:
    """Removes the tensors that nothing refers to."""
    used = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        used.update(map(int, operator.inputs))
        used.update(map(int, operator.outputs))
        if operator.intermediates is not None:
            used.update(map(int, operator.intermediates))
    graph.keep_tensors(sorted(used - {-1}))
