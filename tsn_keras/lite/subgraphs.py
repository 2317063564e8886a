"""Which subgraphs of a file run which others."""

from typing import Any

REFERENCES = (
    ("condSubgraphIndex", "bodySubgraphIndex")
    + ("thenSubgraphIndex", "elseSubgraphIndex")
    + ("initSubgraphIndex", "subgraph")
)


def _references(operator: Any) -> list[str]:
    return [r for r in REFERENCES if hasattr(operator.builtinOptions, r)]


def calls_subgraphs(operator: Any) -> bool:
    """Tells whether an operator runs other subgraphs."""
    return bool(_references(operator))


def drop_unreachable(model: Any) -> None:
    """Removes the subgraphs that no signature leads to, and their operators.

    Args:
        model: `schema.ModelT`, which is changed.
    """
    reachable = {int(s.subgraphIndex) for s in model.signatureDefs}
    waiting = list(reachable)
    while waiting:
        for operator in model.subgraphs[waiting.pop()].operators:
            for name in _references(operator):
                index = getattr(operator.builtinOptions, name)
                if index not in reachable:
                    reachable.add(index)
                    waiting.append(index)
    kept = sorted(reachable)
    model.subgraphs = [model.subgraphs[index] for index in kept]
    for signature in model.signatureDefs:
        signature.subgraphIndex = kept.index(signature.subgraphIndex)
    operators = [op for graph in model.subgraphs for op in graph.operators]
    for operator in operators:
        for name in _references(operator):
            index = getattr(operator.builtinOptions, name)
            setattr(operator.builtinOptions, name, kept.index(index))
    used = sorted({operator.opcodeIndex for operator in operators})
    for operator in operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)
    model.operatorCodes = [model.operatorCodes[index] for index in used]


def drop_unused_tensors(graph: Any) -> dict[int, int]:
    """Removes the tensors of a subgraph that nothing refers to.

    Args:
        graph: `schema.SubGraphT`, which is changed.

    Returns:
        dict of int, the new index of each tensor that stays.
    """
    used = {*map(int, graph.inputs), *map(int, graph.outputs)}
    for operator in graph.operators:
        used.update(map(int, operator.inputs))
        used.update(map(int, operator.outputs))
        if operator.intermediates is not None:
            used.update(map(int, operator.intermediates))
    used.discard(-1)
    new_index = {old: new for new, old in enumerate(sorted(used))}
    places = {**new_index, -1: -1}
    graph.tensors = [graph.tensors[index] for index in sorted(used)]
    graph.inputs = [places[int(index)] for index in graph.inputs]
    graph.outputs = [places[int(index)] for index in graph.outputs]
    for operator in graph.operators:
        for name in ("inputs", "outputs", "intermediates"):
            indices = getattr(operator, name)
            if indices is not None:
                found = [places[int(index)] for index in indices]
                setattr(operator, name, found)
    return new_index
