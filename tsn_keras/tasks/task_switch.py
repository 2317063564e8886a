"""Which task the network computes as: its variables, and views of others."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras import keras_internals
from tsn_keras.bank import WeightBank
from tsn_keras.data import as_taken, explaining_casts, in_full_batches
from tsn_keras.layers import (
    MaskedKernel,
    Subnetwork,
    assign,
    call_given,
    subnetworks,
    weight_paths,
)
from tsn_keras.sharing import activation_statistics, masked_layers
from tsn_keras.tasks import checks
from tsn_keras.tasks.call_arguments import check_input_count
from tsn_keras.tasks.input_sizes import (
    only_batch_size,
    resized,
    traced_shapes,
    widened,
)
from tsn_keras.tasks.running_task import RunningTask
from tsn_keras.tasks.view import View, ViewCache


class TaskSwitch:
    """Lets the network compute as the task that it is told to.

    The variables hold one task: the running one, or else the latest. All
    others are read as views, which leave the variables alone.

    Attributes:
        task: The task whose values the variables hold. `None` where that was
            interrupted.
        running: The task between `add_task` and `consolidate`, if there is one.
        is_left: Whether the variables hold a task that is gone, and the latest
            one is still to be put into them.
        inputs: Nest of `KerasTensor`, what the backbone takes. `None` until
            the backbone is built.
        features: Nest of `KerasTensor`, what the backbone returns.
        is_declared: Whether the backbone itself says what it takes.
        kernels: What the backbone has to be masked.
        base: The frozen weights of the backbone, shared by all tasks.
        private_of_backbone: All other weights of the backbone.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        tracing = model.compiled_heads.tracing
        self._views = ViewCache(self._make_view, tracing)
        self.task: str | None = None
        self.running: RunningTask | None = None
        self.is_left = False
        self.inputs = self.features = None
        self.is_declared = False
        self.kernels: list[MaskedKernel] = []
        self.base: list[keras.Variable] = []
        self.private_of_backbone: list[keras.Variable] = []
        self._trainable: list[tuple[keras.layers.Layer, bool]] = []

    def build(self, inputs: Any) -> None:
        """Finds the variables of the backbone, which is built for inputs.

        Args:
            inputs: Nest of `KerasTensor`.
        """
        backbone, declared = self.backbone, self.declared_inputs()
        self.is_declared = declared is not None
        parts = tree.flatten(declared) if self.is_declared else []
        sizes = [part.shape[0] for part in parts if part.shape[0]]
        if sizes:
            size = only_batch_size(backbone, inputs, sizes[0])
            inputs = resized(inputs, size)
        features = backbone(inputs)
        kernels = [k for s in subnetworks(backbone) for k in s.kernels]
        paths = weight_paths(backbone, transparent=Subnetwork)
        for kernel in kernels:
            kernel.rename(paths[id(kernel.kernel)])
        masked = {id(v) for k in kernels for v in (k.kernel, *k.state)}
        weights = [w for w in backbone.weights if id(w) not in masked]
        frozen = set(map(id, _frozen_weights(backbone)))
        private = [w for w in weights if id(w) not in frozen]
        checks.check_dtypes(kernels, private)
        checks.check_kernels([kernel.path for kernel in kernels], backbone)
        self.kernels, self.private_of_backbone = kernels, private
        self.base = [w for w in weights if id(w) in frozen]
        layers = keras_internals.flatten_layers(backbone)
        self._trainable = [(layer, layer.trainable) for layer in layers]
        self.inputs = inputs
        self.features = tree.map_structure(_of_no_layer, features)

    @property
    def batch_size(self) -> int | None:
        """The only batch size that the backbone takes; `None` for any."""
        return tree.flatten(self.inputs)[0].shape[0] if self.is_built else None

    def taken(self, x: Any) -> Any:
        """Returns tensors in the dtypes of the inputs, as exports take them."""
        if not self.is_built:
            return x
        return as_taken(x, self.inputs, self._model.jit_compile)

    def admit(self, x: Any) -> None:
        """Lets axes have any size in which data differ from the inputs.

        The inputs stay as they are if the backbone declares them, or if
        backbone or heads do not compute with other sizes.

        Args:
            x: Nest of arrays or `tf.TensorSpec`. What is unknown in their
                shapes differs, too.
        """
        wider = None if self.is_declared else widened(self.inputs, x)
        if wider is None:
            return
        heads = []
        for index in range(self._model.heads.count):
            with self._model.heads.reading(index):
                heads += [self.head] if self.head.built else []
        if None not in (
            traced_shapes(self.backbone, heads, inputs) for inputs in wider
        ):
            self._take_inputs(wider[0])

    def admit_batches(self, spec: Any) -> None:
        """Admits all batches of a data set, by its `element_spec`."""
        if isinstance(spec, tuple):
            spec, *_ = keras.utils.unpack_x_y_sample_weight(spec)
        parts = tree.flatten(spec)
        if all(isinstance(p, tf.TensorSpec) and p.shape.rank for p in parts):
            self.admit(spec)

    def _take_inputs(self, inputs: Any) -> None:
        features = self.backbone(inputs)
        self.inputs = inputs
        self.features = tree.map_structure(_of_no_layer, features)

    def empty_bank(self) -> WeightBank:
        """Returns a bank for the kernels, without any task."""
        kernels = self.kernels
        return WeightBank([k.shape for k in kernels], [k.path for k in kernels])

    def declared_inputs(self) -> Any:
        """Returns what the backbone says that it takes, `None` if it cannot."""
        backbone = self.backbone
        inner = backbone.layer if isinstance(backbone, Subnetwork) else backbone
        if inner.built and getattr(inner, "inputs", None):
            return keras_internals.declared_inputs(inner)
        return None

    def get_build_config(self) -> dict[str, Any] | None:
        """Returns what the backbone was built for, to save it."""
        if not self.is_built:
            return None
        parts = tree.flatten(self.inputs)
        numbers = list(range(len(parts)))
        return {
            "structure": tree.pack_sequence_as(self.inputs, numbers),
            "shapes": [list(part.shape) for part in parts],
            "dtypes": [part.dtype for part in parts],
        }

    def undeclared_inputs(self) -> dict[str, Any] | None:
        """Returns what the backbone was built for, if it did not say so.

        A Sequential model that was built by data says so when it is loaded.
        """
        return None if self.is_declared else self.get_build_config()

    def take_undeclared_inputs(self, config: dict[str, Any] | None) -> None:
        """Takes over what `undeclared_inputs` returned in another process."""
        if config and self.is_built:
            self.is_declared = False
            self._take_inputs(inputs_from_config(config))

    @property
    def is_built(self) -> bool:
        """Whether the backbone's variables are known."""
        return self.inputs is not None

    # The variables.

    @property
    def backbone(self) -> keras.layers.Layer:
        return self._model.backbone

    @property
    def head(self) -> keras.layers.Layer:
        """The selected head."""
        return self._model.heads.head

    @property
    def private(self) -> list[keras.Variable]:
        """The private variables: the backbone's and the selected head's."""
        return self.private_of_backbone + self.head.weights

    @property
    def trainable_private(self) -> list[keras.Variable]:
        return [variable for variable in self.private if variable.trainable]

    @property
    def trained(self) -> list[keras.Variable]:
        """The trainable values of kernels, then their scores."""
        scores = [k.scores for k in self.kernels if k.scores is not None]
        return [kernel.kernel for kernel in self.kernels] + scores

    @property
    def state(self) -> list[keras.Variable]:
        """The variables that make kernels effective, scores left out."""
        return [
            variable
            for kernel in self.kernels
            for variable in kernel.state
            if variable is not kernel.scores
        ]

    @property
    def weights_of_backbone(self) -> list[keras.Variable]:
        """What the backbone had of its own when the model was made."""
        return self.trained + self.private_of_backbone

    def num_private_before(self, kernel: int) -> int:
        """Returns how many private variables come before a kernel's."""
        weights = list(map(id, self.backbone.weights))
        limit = weights.index(id(self.kernels[kernel].kernel))
        private = map(id, self.private_of_backbone)
        return sum(weights.index(variable) < limit for variable in private)

    def private_values(self) -> list[np.ndarray]:
        return list(map(keras.ops.convert_to_numpy, self.private))

    def install_private(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self.private, values):
            assign(variable, value)

    def base_values(self) -> list[np.ndarray]:
        return list(map(keras.ops.convert_to_numpy, self.base))

    def install_base(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self.base, values):
            variable.assign(value)
        for layer in adapted_layers(self.backbone):
            if isinstance(layer, keras.layers.Normalization):
                # It computes with constants made of its weights.
                layer.finalize_state()

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
        # A step that another thread traces must not see it.
        with self._model.compiled_heads.tracing:
            present = [(layer, layer.trainable) for layer, _ in self._trainable]
            try:
                for layer, trainable in self._trainable:
                    keras_internals.set_trainable_flag(layer, trainable)
                yield
            finally:
                for layer, trainable in present:
                    keras_internals.set_trainable_flag(layer, trainable)

    # The tasks.

    def select_head(self, index: int, running: str | None = None) -> None:
        """Puts a head to work, with all that is compiled for it.

        Args:
            running: The task that is learned with it, if there is one.
        """
        self._model.compiled_heads.select(index, self.features, running)

    def take_up(self, task: RunningTask) -> None:
        """Makes a task the running one, which the variables belong to."""
        self.select_head(task.head, task.name)
        self.running, self.task = task, task.name
        self.is_left = False

    def let_go(self) -> None:
        """Notes that no task is running any more."""
        self.running = None
        self._model.compiled_heads.let_go()

    def forget(self) -> None:
        """Notes that the variables are no task's: someone has set them."""
        self.task, self.is_left = None, False

    def leave(self) -> None:
        """Notes that the task in the variables is gone.

        Until the latest one is put there, whoever computes puts it there.
        """
        self.task, self.is_left = None, bool(self._model.bank.tasks)

    def clear_views(self) -> None:
        """Forgets all views, because another bank was loaded."""
        self._views.clear()

    def resolve(self, task: str | None) -> str:
        """Returns the name of a task that can compute.

        Args:
            task: Its name, or `None` for the latest one.
        """
        known = list(self._model.tasks)
        if task is None and not known:
            raise ValueError(
                "There is no task yet. Add one with "
                "`model.add_task(name, head)`."
            )
        name = known[-1] if task is None else task
        name = checks.known_task(name, known)
        running = self.running
        if running is not None and name == running.name and not running.begun:
            raise ValueError(
                f"Task '{name}' has not been trained yet. Call `model.fit` "
                "first."
            )
        return name

    def check_computes(self, inputs: Any) -> None:
        """Refuses to compute as a task that has not begun.

        The variables still hold the task before it. Symbolic inputs, which ask
        for shapes, are fine.
        """
        is_symbolic = not tf.executing_eagerly() or any(
            isinstance(part, keras.KerasTensor) for part in tree.flatten(inputs)
        )
        if not is_symbolic and not self._model.compiled_heads.is_read:
            name = self.resolve(None)
            if self.is_left and self.running is None:
                # What took its place was interrupted.
                self.to(name)
        if tree.flatten(inputs):
            check_input_count(inputs, self.inputs)

    def to(self, task: str) -> None:
        """Puts a consolidated task into the variables."""
        bank = self._model.bank
        is_stored = self.task in bank
        # Should it be interrupted, the variables are nobody's.
        self.task = None
        self.select_head(bank[task].head)
        private = bank.private(task)
        checks.check_saved_shapes(
            task, [value.shape for value in private], self.private
        )
        for kernel, value in zip(self.kernels, bank.effective(task)):
            kernel.install(value, is_stored)
        self.install_private(private)
        self.task, self.is_left = task, False

    def view(self, task: str) -> View:
        """Returns the values of a consolidated task."""
        try:
            return self._views.get(task)
        except KeyError:
            # It was removed meanwhile.
            self.resolve(task)
            raise

    @contextlib.contextmanager
    def answering(
        self, task: str | None, view: View | None = None
    ) -> Iterator[None]:
        """Lets Keras evaluate and predict a task in this thread.

        Its steps compute as the task. What asks the model in between, such as
        a callback, is answered by the latest one, as everywhere.

        Args:
            task: Its name, or `None` for the latest one. The running task is
                what the variables hold.
            view: Its values, if they are at hand.
        """
        model, running = self._model, self.running
        compiled = model.compiled_heads
        is_held = view is not None
        if view is None and task is not None:
            view = compiled.held_view(task)
        # The task of a view that is held may be gone.
        name = self.resolve(task) if view is None else task
        if view is None and name in model.bank:
            view = self.view(name)
        head = running.head if view is None else view.head
        with compiled.reading(model, name, head, view, is_held):
            with explaining_casts():
                yield

    @contextlib.contextmanager
    def reading(self, task: str | None) -> Iterator[None]:
        """Computes as a task in this thread, and changes no variable.

        Args:
            task: As in `answering`.
        """
        compiled = self._model.compiled_heads
        with self.answering(task), compiled.as_reader():
            yield

    @property
    def viewed_variables(self) -> list[keras.Variable]:
        """The variables that a view has a value for, in its order."""
        return [kernel.kernel for kernel in self.kernels] + self.private

    def _make_view(self, task: str) -> View:
        bank = self._model.bank
        record = bank[task]
        head, private = record.head, bank.private(task)
        with self._model.heads.reading(head):
            if not self.head.built:
                self.head(self.features)
            checks.check_saved_shapes(
                task, [value.shape for value in private], self.private
            )
            variables = self.viewed_variables
        values = bank.effective(task) + private
        if task == self.task:
            # No copy: what the kernels compute with is there already.
            kernels = [kernel.stored() for kernel in self.kernels]
            if task == self.task:
                # Nobody has begun to change them meanwhile.
                values = kernels + private
        if bank[task] is not record:
            # Another bank was loaded meanwhile.
            return self._make_view(task)
        return View.of(head, variables, values)

    def activation_statistics(self, sample: Any) -> np.ndarray:
        """Returns how each masked layer responds to some inputs.

        Args:
            sample: Nest of arrays, the inputs.
        """
        inputs = tree.map_structure(np.asarray, sample)
        return activation_statistics(
            [
                functools.partial(
                    call_given, self.backbone, part, training=False
                )
                for part in in_full_batches(inputs, self.batch_size)
            ],
            masked_layers(self.backbone, [k.kernel for k in self.kernels]),
        )


def _of_no_layer(part: keras.KerasTensor) -> keras.KerasTensor:
    """Returns a tensor that does not keep what is called with it.

    Keras notes for each layer what its outputs go to, for ever: all heads.
    """
    return keras.KerasTensor(part.shape, part.dtype, sparse=part.sparse)


def inputs_from_config(config: dict[str, Any]) -> Any:
    """Returns the inputs that `get_build_config` described."""
    parts = list(map(keras.KerasTensor, config["shapes"], config["dtypes"]))
    return tree.map_structure(parts.__getitem__, config["structure"])


def adapted_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers whose state comes from `adapt`, outermost only."""
    if hasattr(layer, "adapt"):
        return [layer]
    inner = keras_internals.direct_layers(layer)
    return [found for one in inner for found in adapted_layers(one)]


def _frozen_weights(backbone: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the weights that nothing trains, as a dense base of all tasks.

    These are all weights of layers with `trainable=False`, and what layers
    such as `Normalization` have found by `adapt`. Other weights that were
    never trainable, such as moving statistics, change in training and belong
    to the task, unless their layer is frozen.

    Raises:
        ValueError: If a weight is frozen and its layer is not.
    """
    frozen = []
    for layer in keras_internals.flatten_layers(backbone):
        # `weights` holds those of the layers within, too.
        trainable = keras_internals.own_trainable(layer)
        own = [weight for weight in trainable if not weight.trainable]
        if not layer.trainable or hasattr(layer, "adapt"):
            frozen += own + keras_internals.own_non_trainable(layer)
        elif own:
            # Keras would not save that, and a loaded model would train them.
            raise ValueError(
                f"Weights {[weight.path for weight in own]} are frozen and "
                f"their layer '{layer.name}' is not. Freeze whole layers with "
                "`layer.trainable = False`."
            )
    return [weight for weight in frozen if not weight.trainable]
