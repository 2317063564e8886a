"""What training a task changes, taken down and brought back."""

import dataclasses

import keras


def seed_states(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the states of dropout's and other random numbers in a layer."""
    return [v for v in layer.variables if v.name == "seed_generator_state"]


def training_variables(model) -> dict[str, list[keras.Variable]]:
    """Returns what is at work beyond the bank, by kind.

    Args:
        model: `ContinualModel`, with backbone and selected head built.
    """
    work = model.installation
    trainable = [kernel.kernel for kernel in work.kernels]
    scores = [k.scores for k in work.kernels if k.scores is not None]
    optimizer = []
    if model.compiled and model.optimizer.built:
        optimizer = model.optimizer.variables
    return {
        "kernel": trainable + scores,
        "state": work.state,
        "private": work.private,
        "seed": seed_states(model.backbone) + seed_states(model.heads.head),
        "optimizer": optimizer,
    }


class TrainingState:
    """The running task as it was before a `fit` that may fail.

    Args:
        model: `ContinualModel` with a running task.
    """

    def __init__(self, model):
        running = model._running
        self._progress = dataclasses.replace(running.progress)
        self._task = dataclasses.replace(running, progress=self._progress)
        self._masks = [mask.mask for mask in running.masks]
        self._values = {
            kind: [keras.ops.convert_to_numpy(v) for v in variables]
            for kind, variables in training_variables(model).items()
            # A task that has not begun gets an optimizer when it begins.
            if kind != "optimizer" or running.begun
        }

    def restore(self, model) -> None:
        """Brings everything back.

        Args:
            model: `ContinualModel`, the same one.
        """
        variables = training_variables(model)
        for kind, values in self._values.items():
            for variable, value in zip(variables[kind], values):
                variable.assign(value)
        for mask, before in zip(self._task.masks, self._masks):
            mask.mask = before
        model._running = self._task
