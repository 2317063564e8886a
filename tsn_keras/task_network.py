"""A backbone, heads, and what is compiled for each head."""

from typing import Any

import keras
from keras import tree

from tsn_keras import backbone_checks, input_checks
from tsn_keras.bank import WeightBank
from tsn_keras.compiled_outputs import CompiledOutputs, kind_of_outputs
from tsn_keras.installation import Installation, subnetworks
from tsn_keras.keras_internals import declared_inputs
from tsn_keras.layers import Heads, Subnetwork
from tsn_keras.layers.kernel_rule import Kernels


class _Switch:
    """A face for the names that the switch of tasks will have."""

    def __init__(self, model):
        self.inputs, self.features = model._inputs, model._features
        self.resolve, self.using = model._resolved, model.working_as
        self.select_head = model._select_head


class HeadFunctions:
    """What is compiled for one head, kept while another is at work."""

    def __init__(self):
        self.train = self.test = self.predict = None
        self.optimizer = None
        # What its outputs are, as of `kind_of_outputs`.
        self.outputs: str | None = None
        # Of consolidated tasks, whose kernels are used as they are.
        self.stored_test = self.stored_predict = None
        self.evaluation = None
        self.tuning = None


class TaskNetwork(keras.Model):
    """Backbone and heads, one of them selected.

    Args:
        backbone: `keras.layers.Layer`.
        learned_scores: bool, whether kernels have a score a slot.
        kernels: which weights are kernels, as `Subnetwork` takes it.
        **kwargs: Base model keyword arguments.
    """

    def __init__(
        self,
        backbone: keras.layers.Layer,
        learned_scores: bool,
        kernels: Kernels = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        input_checks.check_backbone(backbone)
        self._wraps_backbone = not subnetworks(backbone)
        if self._wraps_backbone:
            backbone = Subnetwork(backbone, learned_scores, kernels)
        elif kernels is not None:
            raise ValueError(
                f"Backbone '{backbone.name}' holds `Subnetwork` layers, which "
                "choose their kernels themselves. Give `kernels` to them."
            )
        input_checks.check_scores(subnetworks(backbone), learned_scores)
        self.backbone = backbone
        self.heads = Heads()
        self.bank: WeightBank | None = None
        self.installation: Installation | None = None
        self._inputs = None
        self._features = None
        self._running = None
        self._at_work: str | None = None
        self._kept: dict[int, HeadFunctions] = {}
        self._functions = HeadFunctions()
        self._compiled_outputs = CompiledOutputs()
        inner = backbone.layer if isinstance(backbone, Subnetwork) else backbone
        if inner.built and getattr(inner, "inputs", None):
            self._build_backbone(declared_inputs(inner))
        backbone_checks.claim_backbone(self, backbone)

    def _build_backbone(self, inputs: Any) -> None:
        """Creates all variables but those of heads.

        Args:
            inputs: nest of arrays or `KerasTensor`, batch first.
        """
        self._inputs = tree.map_structure(_any_batch, inputs)
        self._features = self.backbone(self._inputs)
        installation = Installation(self.backbone, self.heads)
        paths = [kernel.path for kernel in installation.kernels]
        try:
            backbone_checks.check_dtypes(installation)
            input_checks.check_kernels(paths, self.backbone)
        except ValueError:
            self._inputs = None
            raise
        shapes = [kernel.shape for kernel in installation.kernels]
        self.installation = installation
        self.bank = WeightBank(shapes, paths)
        self.built = True

    def check_examples(self, x: Any, y: Any, names: tuple[str, str]) -> None:
        """Refuses examples that the selected head cannot be used with.

        Args:
            x: nest of arrays, the inputs.
            y: nest of arrays or `None`, the labels.
            names: tuple of str, what errors call the two.
        """
        input_checks.check_shapes(x, self._inputs)
        input_checks.check_finite(x, names[0])
        input_checks.check_finite(y, names[1])
        outputs = self.heads.head(self._features)
        input_checks.check_labels(y, self.loss, outputs)

    def build(self, input_shape: Any) -> None:
        if self._inputs is None:
            self._build_backbone(keras.KerasTensor(input_shape))
        self.built = True

    def get_build_config(self) -> dict[str, Any] | None:
        if self._inputs is None:
            return None
        parts = tree.flatten(self._inputs)
        indices = list(range(len(parts)))
        return {
            "structure": tree.pack_sequence_as(self._inputs, indices),
            "shapes": [list(part.shape) for part in parts],
            "dtypes": [part.dtype for part in parts],
        }

    def build_from_config(self, config: dict[str, Any]) -> None:
        if not config or self._inputs is not None:
            return
        parts = [
            keras.KerasTensor(shape, dtype)
            for shape, dtype in zip(config["shapes"], config["dtypes"])
        ]
        inputs = tree.map_structure(parts.__getitem__, config["structure"])
        self._build_backbone(inputs)

    def call(self, inputs, training=None):
        if self.heads.selected is None:
            raise ValueError(
                "There is no task yet. Add one with "
                "`model.add_task(name, head)`."
            )
        return self.heads(self.backbone(inputs))

    @property
    def running_task(self):
        return self._running

    @property
    def switch(self) -> _Switch:
        return _Switch(self)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks in order, the running one last."""
        stored = self.bank.tasks if self.bank else ()
        return (*stored, self._running.name) if self._running else stored

    def _select_head(self, index: int) -> None:
        """Puts a head to work, with the functions compiled for it."""
        if index == self.heads.selected:
            return
        outputs = self._kind_of_outputs()
        if self.heads.selected is not None:
            kept = self._functions
            kept.train, kept.test = self.train_function, self.test_function
            kept.predict = self.predict_function
            kept.optimizer = getattr(self, "optimizer", None)
            self._kept[self.heads.selected] = kept
        self.heads.select(index)
        if self._features is not None and not self.heads.head.built:
            self.heads.head(self._features)
        self._functions = self._kept.pop(index, None) or HeadFunctions()
        self.train_function = self._functions.train
        self.test_function = self._functions.test
        self.predict_function = self._functions.predict
        if self._functions.optimizer is not None:
            self.optimizer = self._functions.optimizer
        if self.compiled:
            self._compiled_outputs.exchange(
                self, outputs, self._kind_of_outputs()
            )
        self._name_outputs()

    def _kind_of_outputs(self) -> str | None:
        """Returns what the selected head's outputs are, where that is known."""
        if self._features is None or self.heads.selected is None:
            return None
        if self._functions.outputs is None:
            try:
                outputs = self.heads.head(self._features)
            except (TypeError, ValueError):
                # It does not fit, was refused, and has computed nothing.
                return None
            self._functions.outputs = kind_of_outputs(outputs)
        return self._functions.outputs

    def _name_outputs(self) -> None:
        """Lets losses and metrics given by name find the outputs in a list.

        Functional models do so with the names of their output layers.
        """
        if not self.compiled or self.heads.selected is None:
            return
        names = self.heads.output_names(self.heads.selected)
        for compiled in (self._compile_loss, self._compile_metrics):
            if compiled is not None:
                compiled.output_names = names


def _any_batch(part: Any) -> keras.KerasTensor:
    dtype = keras.backend.standardize_dtype(part.dtype)
    name = part.name if isinstance(part, keras.KerasTensor) else None
    return keras.KerasTensor((None, *part.shape[1:]), dtype, name=name)
