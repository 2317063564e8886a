"""The seal of a saved model: what in its file belongs together.

The configuration in a file says how many tasks the file holds, and has
digests of the bank, of vocabularies and of itself. Keras does not miss what is
not in a file. So the seal of a model notes what is loaded, and refuses the
file if something is missing, was changed, or is another model's.
"""

import contextlib
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tsn_keras import keras_internals
from tsn_keras.saving import archive, refusals

_KEY = "seal"
# The entries of a configuration that say what tasks compute and how the model
# learns on. A subclass may have others.
_BOUND = (
    *("backbone", "heads", "pruning", "quantization", "sharing"),
    *("seed", "kernels", "inputs"),
)
REMEDY = "Load another copy of the file."


def digest(content: bytes | np.ndarray) -> str:
    """Returns the digest of bytes, or of an array with its shape and dtype."""
    found = hashlib.sha256()
    if isinstance(content, np.ndarray):
        found.update(f"{content.dtype}{content.shape}".encode())
        content = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
    found.update(content)
    return found.hexdigest()


def sealed(config: dict[str, Any], model: keras.Model) -> dict[str, Any]:
    """Returns a model's configuration, with a seal if it goes to a file.

    A copy of the model has no tasks, and its configuration has no seal.
    """
    refusals.check_no_legacy_file()
    if not keras_internals.is_in_file() or model.bank is None:
        return config
    bank, running = archive.bank_apart(model), None
    if bank is None:
        bank, running = model.bank.to_bytes(), model.running_task
    seal = {
        "tasks": len(model.bank.tasks),
        "running": running and running.name,
        "head": model.heads.selected if model.tasks else None,
        "config": _digest_of_config(config),
        "bank": digest(bank),
    }
    with tempfile.TemporaryDirectory() as folder:
        model.save_assets(folder)
        seal["assets"] = _digest_of_files(folder)
    model.seal.write(seal)
    return {**config, _KEY: seal}


def unsealed(config: dict[str, Any]) -> tuple[dict[str, Any], dict | None]:
    """Returns a configuration without its seal, and the seal if it had one.

    Raises:
        ValueError: If the configuration is not the one that was sealed.
    """
    refusals.check_no_legacy_file()
    config = dict(config)
    seal = config.pop(_KEY, None)
    found = _digest_of_config(config)
    if seal is not None and found not in (None, seal.get("config")):
        raise ValueError(
            "The file is damaged: the model's configuration was changed after "
            f"it was saved. {REMEDY}"
        )
    return config, seal


def sealed_compile(
    config: dict[str, Any], model: keras.Model
) -> dict[str, Any]:
    """Returns what a model was compiled with, tied to its configuration.

    Keras asks for it right after the configuration.
    """
    if not config or not keras_internals.is_in_file() or model.bank is None:
        return config
    return {**config, _KEY: model.seal.tie(model.seal.written, config)}


def unsealed_compile(
    config: dict[str, Any], model: keras.Model
) -> dict[str, Any]:
    """Returns what a model is to be compiled with, without its seal."""
    config = dict(config)
    tie = config.pop(_KEY, None)
    model.seal.check_tie(tie, config)
    return config


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """Refuses to save a model that another thread changes meanwhile."""
    running, tasks = model.running_task, model.tasks
    yield
    if model.running_task is not running or model.tasks != tasks:
        raise RuntimeError(
            "A task was added or consolidated in another thread while the "
            "model was saved. Save it again."
        )


class Seal(keras.Operation):
    """Notes what of a saved model is loaded, and refuses what does not fit.

    Keras loads the attributes of a model after the model itself. This is one
    of them, so that it can tell at the end what did not arrive.

    Attributes:
        written: The seal that was written last, to be repeated in the file.
    """

    def __init__(self):
        super().__init__(name="seal")
        self.written: dict[str, Any] | None = None
        self._expected: dict[str, Any] | None = None
        self._apart = self._awaits_bank = False
        self._assets: str | None = None

    def write(self, seal: dict[str, Any]) -> None:
        """Notes a seal that is written."""
        self.written = seal

    def expect(self, seal: dict[str, Any] | None) -> None:
        """Notes the seal of the file whose configuration was read.

        `None` if it has none: files of before and weights alone.
        """
        self._expected = seal

    @contextlib.contextmanager
    def alone(self, bank_apart: bool) -> Iterator[None]:
        """Lets weights be loaded whatever configuration the model came from.

        Args:
            bank_apart: Whether the bank is not among them.
        """
        self.expect(None)
        self._apart = bank_apart
        try:
            yield
        finally:
            self._apart = False

    def head(self) -> int:
        """Returns the head at work when the file was saved."""
        head = (self._expected or {}).get("head")
        if head is None:
            raise ValueError(
                "There is no task yet. Add one with "
                "`model.add_task(name, head)`."
            )
        return head

    def begin(self, has_bank: bool) -> None:
        """Notes that the model's own variables are loaded now.

        Args:
            has_bank: Whether the model has a bank, since it was built.
        """
        self._awaits_bank = has_bank and not self._apart
        self._assets = None

    def note_bank(self) -> None:
        """Notes that there is a bank in the file."""
        self._awaits_bank = False

    def note_assets(self, folder: str) -> None:
        """Notes the vocabularies in a folder of the file."""
        self._assets = _digest_of_files(folder)

    def check_bank(self, saved: bytes, running: str | None) -> None:
        """Refuses a bank that does not belong to the configuration.

        Args:
            running: The name of the task in training that is saved with it.
        """
        self._check("weight bank", "bank", digest(saved))
        self._check("task in training", "running", running)

    def check_copy(self, written: dict[str, Any] | None) -> None:
        """Refuses a store that was written with another seal."""
        if self._expected not in (None, written):
            self._refuse("store of weights")

    def tie(self, seal: dict[str, Any], config: dict[str, Any]) -> str:
        """Returns the digest of another configuration together with a seal."""
        return digest(_plain_json([seal, config]))

    def check_tie(self, tie: str | None, config: dict[str, Any]) -> None:
        """Refuses another configuration than the one that was tied."""
        expected = self._expected
        if None not in (tie, expected) and tie != self.tie(expected, config):
            self._refuse("configuration of `compile`")

    def _check(self, name: str, part: str, found: Any) -> None:
        if self._expected is not None and found != self._expected.get(part):
            self._refuse(name)

    def _refuse(self, name: str) -> None:
        raise ValueError(
            f"The file is damaged or mixed of two: the {name} in it is not "
            "what was saved with its configuration, which has "
            f"{self._expected.get('tasks')} task(s). {REMEDY}"
        )

    def load_own_variables(self, store: Any) -> None:
        """Tells Keras what did not arrive, when all was loaded."""
        try:
            if self._awaits_bank and self._expected is None:
                raise ValueError(
                    "The file is damaged or not of a ContinualModel: no weight "
                    f"bank is found in it. {REMEDY} Weights of a plain Keras "
                    "model belong into the backbone, before the ContinualModel "
                    "is made."
                )
            if self._awaits_bank:
                raise ValueError(
                    "The file is damaged: the bank that belongs to it, with "
                    f"{self._expected.get('tasks')} task(s), is not found in "
                    f"it. {REMEDY}"
                )
            self._check("vocabulary", "assets", self._assets)
        finally:
            self.expect(None)


def _digest_of_config(config: dict[str, Any]) -> str | None:
    """Returns the digest of what counts in a configuration.

    `None` if a subclass has another configuration.
    """
    if any(key not in config for key in _BOUND):
        return None
    bound = {key: config[key] for key in _BOUND}
    return digest(_plain_json(bound))


def _plain_json(config: Any) -> bytes:
    """Returns JSON that is equal before it was saved and after."""
    text = json.dumps(keras.saving.serialize_keras_object(config))
    plain = json.loads(text, object_hook=_without_identity)
    return json.dumps(plain, sort_keys=True).encode()


def _without_identity(config: dict[str, Any]) -> dict[str, Any]:
    """Drops what Keras adds when an object occurs a second time."""
    return {k: v for k, v in config.items() if k != "shared_object_id"}


def _digest_of_files(folder: str) -> str | None:
    """Returns the digest of the vocabularies in a folder, `None` if none."""
    files = sorted(pathlib.Path(folder).glob("adapted_*/**/*"))
    contents = [
        [file.relative_to(folder).as_posix(), digest(file.read_bytes())]
        for file in files
        if file.is_file()
    ]
    return digest(json.dumps(contents).encode()) if contents else None
