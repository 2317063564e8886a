"""Learns two tasks on one device, on two replicas, or as one of two workers.

    python -m tests.replicas_program ROLE FOLDER

ROLE is `one`, `mirrored`, or `worker`, which reads TF_CONFIG. What was learned
is written to FOLDER/ROLE.json, of workers to FOLDER/workerINDEX.json.
"""

import hashlib
import json
import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from tests.digits_tasks import (
    TEST,
    TRAIN,
    VALIDATION,
    consolidate,
    digits,
    everything,
    logits,
    make_model,
    mlp,
)


def make_strategy(role):
    if role == "one":
        return tf.distribute.get_strategy()
    if role == "worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    device = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [device] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def batches(number, part):
    return tf.data.Dataset.from_tensor_slices(digits(number, part)).batch(40)


def digest(data):
    return hashlib.md5(data).hexdigest()


def train(model, number):
    model.add_task(f"task {number}", keras.layers.Dense(10))
    return model.fit(
        batches(number, TRAIN),
        epochs=2,
        validation_data=batches(number, VALIDATION),
        verbose=0,
    ).history


def most_values_of_a_variable(model, strategy):
    """Returns how many different values the replicas of a variable have."""
    numbers = []
    for kernel in model.switch.kernels:
        for variable in (kernel.kernel, *kernel.state):
            values = strategy.experimental_local_results(variable.value)
            numbers.append(len({np.asarray(v).tobytes() for v in values}))
    return max(numbers)


def learn_two_tasks(model, strategy):
    """Returns what all roles must agree on, and what each kernel holds."""
    histories = [train(model, 0)]
    model.consolidate(batches(0, VALIDATION), verbose=0)
    first = logits(model).tobytes()
    histories.append(train(model, 1))
    trained = most_values_of_a_variable(model, strategy)
    # Arrays serve as well.
    consolidate(model, 1)
    model.evaluate(*digits(1, TEST), task="task 1", verbose=0)
    consolidated = most_values_of_a_variable(model, strategy)
    bank, outputs = everything(model)
    return {
        "replicas": strategy.num_replicas_in_sync,
        "different values after training": trained,
        "different values after consolidation": consolidated,
        "first task stayed": outputs[0] == first,
        "bank": digest(bank),
        "outputs": list(map(digest, outputs)),
        "histories": histories,
        "accuracy": model.evaluate(*digits(0, TEST), task="task 0", verbose=0),
        "planes": [list(model.bank[name].planes) for name in model.tasks],
    }


def learn_by_default(strategy):
    """Returns what a task becomes that is pruned while it consolidates."""
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = make_model(pruning="adaptive_sparsity")
    train(model, 0)
    report = model.consolidate(batches(0, VALIDATION), verbose=0)
    return {
        "bank": digest(model.bank.to_bytes()),
        "different values": most_values_of_a_variable(model, strategy),
        "sparsity": report.sparsity,
        "kept": report.kept,
        "quality": report.quality_after,
    }


def arrays(model):
    kernels, masks = {}, {}
    for name in model.bank.tasks:
        for index, (own, shared) in enumerate(model.bank.masks(name)):
            masks[f"{name} mask {index}"] = own | shared
        for index, kernel in enumerate(model.bank.effective(name)):
            kernels[f"{name} kernel {index}"] = kernel
    return {**masks, **kernels}


def main(role, folder):
    strategy = make_strategy(role)
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = make_model(mlp(), sharing="activation_similarity")
    found = learn_two_tasks(model, strategy)
    found["by default"] = learn_by_default(strategy)
    if role == "worker":
        role += str(strategy.cluster_resolver.task_id)
    path = os.path.join(folder, f"{role}.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    found["loaded"] = digest(loaded.bank.to_bytes())
    np.savez(os.path.join(folder, f"{role}.npz"), **arrays(model))
    pathlib.Path(folder, f"{role}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
