"""Errors for saved tasks that do not fit the model they are loaded into."""

import keras


def check_saved_heads(heads: dict[str, int], count: int) -> None:
    """Refuses saved tasks whose heads a model does not have.

    Args:
        heads: dict, the index of the head of each saved task.
        count: int, the number of the model's heads.
    """
    missing = [name for name, head in heads.items() if head >= count]
    if missing:
        raise ValueError(
            f"The saved tasks {missing} have heads that this model does not: "
            f"it has {count}. Load the file with `keras.models.load_model`, "
            "or add the heads before, as tasks in the same order, with "
            "`add_task` and `discard_task`."
        )


def check_saved_shapes(
    task: str, shapes: list, variables: list[keras.Variable]
) -> None:
    """Refuses private variables that were saved from another architecture.

    Args:
        task: str.
        shapes: list of tuples, of the task's saved private variables.
        variables: list of `keras.Variable`, those that come first of them.
    """
    for variable, shape in zip(variables, shapes):
        if tuple(variable.shape) != tuple(shape):
            raise ValueError(
                f"Task '{task}' was saved with another architecture: variable "
                f"'{variable.path}' has shape {tuple(variable.shape)}, and "
                f"{tuple(shape)} in the file. Load it into the architecture "
                "that it was saved with, or with `keras.models.load_model`."
            )
    if len(shapes) < len(variables):
        raise ValueError(
            f"Task '{task}' was saved with another architecture: it has "
            f"{len(shapes)} private variables, and this model at least "
            f"{len(variables)}. Load it into the architecture that it was "
            "saved with, or with `keras.models.load_model`."
        )
