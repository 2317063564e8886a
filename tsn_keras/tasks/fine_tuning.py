"""Fine-tuning of centroids and private variables, codes fixed."""

import warnings
from collections.abc import Callable

import keras

from tsn_keras.layers import with_quick_averages, without_noise
from tsn_keras.quantization import CentroidTuning
from tsn_keras.tasks.initialization import derived_seed


def fine_tuning_of(model: keras.Model) -> Callable | None:
    """Returns what fine-tunes the running task of a model, if it can be.

    Returns:
        Function of own slots, codebooks and whether centroids move. It
        returns the codebooks. `None`, with a warning that says why, where
        nothing can be fine-tuned.
    """
    quantization, task = model.quantization, model.running_task
    if quantization is None:
        return None
    steps = quantization.tuning_steps(task.progress.step)
    if not steps:
        return None
    reason = _why_not(model)
    if reason:
        warnings.warn(reason, stacklevel=6)
        return None
    tuning = model.compiled_heads.kept(
        "tuning",
        lambda: CentroidTuning(
            model.switch.kernels,
            model.switch.trainable_private,
            lambda batch: _training_loss(model, batch),
            quantization.learning_rate,
            model.run_eagerly,
        ),
    )
    seed = derived_seed(model.seed or 0, len(model.bank.tasks))

    def tune(own, codebooks, tunes_centroids):
        batches = task.data.batches(steps, seed)
        return tuning.run(own, codebooks, batches, steps, tunes_centroids)

    return tune


def _training_loss(model: keras.Model, batch: tuple):
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    # A few steps, and few variables that fit no example by heart.
    with without_noise(model), with_quick_averages(model):
        y_pred = model(x, training=True)
        return model.compute_loss(x, y, y_pred, sample_weight)


def _why_not(model: keras.Model) -> str | None:
    """Returns why nothing can be fine-tuned, if so."""
    task = model.running_task
    if task.data is None:
        return (
            f"Task '{task.name}' was loaded in the middle of its training: "
            "without another `fit` there is no data to fine-tune its centroids "
            "with."
        )
    own_loss = type(model).compute_loss is not keras.Model.compute_loss
    if model.loss is None and not own_loss and not model.losses:
        return (
            "The centroids are not fine-tuned: without a loss in `compile` "
            "only `train_step` knows what to minimize. Give `compile` a loss, "
            "or override `compute_loss`."
        )
    if not task.data.has_targets and model.loss is not None and not own_loss:
        return (
            "The centroids are not fine-tuned: the training data have no "
            "targets, which only `train_step` knows. Give them to `fit`, or "
            "override `compute_loss`."
        )
    return None
