"""Bytes that were changed or are missing, through whatever reads them."""

import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tests.bank.random_tasks import PATHS, SHAPES, random_bank, random_record
from tests.digits_tasks import TEST, digits, learn, make_model
from tools.fault_run.outcomes import Outcomes
from tsn_keras import lite
from tsn_keras.bank import WeightBank, mask_coding
from tsn_keras.bank.file_format import HEADER, MAGIC, digest
from tsn_keras.bank.packing import unpack_codes
from tsn_keras.lite.runner import MARK, read_tasks

# Keras opens an archive before tsn_keras sees it: what `zipfile` raises.
ARCHIVE_ERRORS = (ValueError, OSError, KeyError, zipfile.BadZipFile)
ARCHIVE_ERRORS += (zlib.error, EOFError, NotImplementedError, RuntimeError)


def _flipped(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _flips(
    content: bytes, places: range | np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, bytes]]:
    """One bit of each place, and all bits of a tenth of them."""
    for place in map(int, places):
        bits = range(8) if rng.random() < 0.1 else [int(rng.integers(8))]
        for bit in bits:
            yield f"byte {place}, bit {bit}", _flipped(content, place, bit)


def _read_bank(content: bytes) -> list:
    bank = WeightBank(SHAPES, PATHS)
    bank.load_bytes(content)
    return _all_of(bank)


def _read_unsigned(content: bytes) -> list:
    """Reads a bank of whose bytes the digest is right, whatever they are."""
    header, body = content[: HEADER.size], content[HEADER.size :]
    version = header[4] if len(header) > 4 else 0
    return _read_bank(HEADER.pack(MAGIC, version, digest(version, body)) + body)


def _all_of(bank: WeightBank) -> list:
    """Returns names, kernels, private variables and facts of all tasks."""
    found = []
    for task in bank.tasks:
        arrays = [*bank.effective(task), *bank.private(task)]
        facts = sorted(map(str, bank[task].facts.items()))
        found.append((task, facts, [array.tobytes() for array in arrays]))
    return found


def bank(outcomes: Outcomes, part: float) -> None:
    """Every byte and every truncation of a small bank."""
    stored = random_bank(3)
    stored.add(random_record(stored, "by reference", 0, reference=0))
    stored.remove("task 1")
    content, rng = stored.to_bytes(), np.random.default_rng(0)
    expected = _read_bank(content)
    damaged = [*_flips(content, range(len(content)), rng)]
    damaged += [(f"cut at {n}", content[:n]) for n in range(len(content))]
    for example, changed in damaged[:: max(1, round(1 / part))]:
        outcomes.try_reading(
            lambda: _read_bank(changed), expected, (ValueError,), example
        )


def _model(folder: pathlib.Path) -> keras.Model:
    model = make_model(sharing="always")
    for number in (0, 1):
        learn(model, number, epochs=1)
    return model


def archives(outcomes: Outcomes, part: float, folder: pathlib.Path) -> None:
    """1,000 places and 100 truncations of a model through `load_model`."""
    model, path = _model(folder), folder / "model.keras"
    model.save(path)

    def read():
        loaded = keras.saving.load_model(path)
        return _all_of(loaded.bank)

    content, rng = path.read_bytes(), np.random.default_rng(0)
    expected = read()
    places = rng.integers(0, len(content), round(1000 * part))
    damaged = [
        (f"byte {p} of {len(content)}", _flipped(content, p, p % 8))
        for p in map(int, places)
    ]
    ends = rng.integers(0, len(content), round(100 * part)).tolist()
    damaged += [(f"cut at {end}", content[:end]) for end in ends]
    for example, changed in damaged:
        path.write_bytes(changed)
        outcomes.try_reading(read, expected, ARCHIVE_ERRORS, example)


def _tflite(
    outcomes: Outcomes,
    part: float,
    path: pathlib.Path,
    metadata: bool,
) -> None:
    x, _ = digits(1, TEST)

    def answer():
        runner = lite.TaskRunner(path)
        return runner.predict(x[:5], task="task 1").tobytes()

    content, rng = path.read_bytes(), np.random.default_rng(0)
    expected = answer()
    count = round(1000 * part)
    places = rng.integers(0, len(content), count)
    damaged = [
        (f"byte {p} of {len(content)}", _flipped(content, p, p % 8))
        for p in map(int, places)
    ]
    if metadata:
        end = content.rindex(MARK) + len(MARK) + 66
        start = content.rindex(b'{"version"', 0, end)
        region = range(start, end)[:: max(1, round(1 / part))]
        damaged += [*_flips(content, region, rng)]
    step = max(1, round(len(content) / (5000 * part)))
    damaged += [
        (f"cut at {n} of {len(content)}", content[:n])
        for n in range(0, len(content), step)
    ]
    for example, changed in damaged:
        path.write_bytes(changed)
        outcomes.try_reading(answer, expected, (ValueError,), example)
    path.write_bytes(content)


def bundle(outcomes: Outcomes, part: float, folder: pathlib.Path) -> None:
    """A bundle through `TaskRunner`: its metadata whole, 1,000 places."""
    path = folder / "all.tflite"
    lite.export_bundle(_model(folder), path)
    _tflite(outcomes, part, path, metadata=True)


def task_file(outcomes: Outcomes, part: float, folder: pathlib.Path) -> None:
    """A task file through `TaskRunner`."""
    path = folder / "one.tflite"
    _model(folder).export(path, format="litert", task="task 1")
    _tflite(outcomes, part, path, metadata=False)


def decoders(outcomes: Outcomes, part: float, folder: pathlib.Path) -> None:
    """Mutated inputs of the decoders themselves, without a checksum."""
    rng = np.random.default_rng(0)
    shape = (12, 9)
    reference, owned = rng.random((2, *shape)) < 0.4
    own = ~owned & (rng.random(shape) < 0.3)
    shared = owned & reference
    path = folder / "all.tflite"
    lite.export_bundle(_model(folder), path)
    content = path.read_bytes()
    codes = rng.integers(0, 8, 50)
    packed = np.packbits(codes.astype(np.uint8) & 1)
    stored = random_bank(2).to_bytes()
    calls: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
        "own mask": (
            mask_coding.encode_mask(own, reference, ~owned),
            lambda d: mask_coding.decode_mask(d, shape, reference, ~owned),
        ),
        "shared mask": (
            mask_coding.encode_shared(shared, owned, reference),
            lambda d: mask_coding.decode_shared(d, owned, reference),
        ),
        "codes": (
            packed.tobytes(),
            lambda d: unpack_codes(np.frombuffer(d, np.uint8), 3, 18),
        ),
        # `read_tasks` makes its own error of what a broken flatbuffer raises.
        "flatbuffer": (content[:2000], _through(path, content)),
        "bank": (stored, _read_unsigned),
    }
    for name, (data, decode) in calls.items():
        for number in range(round(100_000 * part)):
            changed = bytearray(data)
            for _ in range(int(rng.integers(1, 4))):
                if rng.random() < 0.8 and changed:
                    place = int(rng.integers(len(changed)))
                    changed[place] = int(rng.integers(256))
                else:
                    del changed[int(rng.integers(len(changed) + 1)) :]
            outcomes.try_reading(
                lambda: decode(bytes(changed)),
                None,
                (ValueError,),
                f"{name} {number}: {bytes(changed[:40]).hex()}",
            )


def _through(path: pathlib.Path, content: bytes) -> Callable[[bytes], object]:
    def decode(start: bytes):
        path.write_bytes(start + content[len(start) :])
        return read_tasks(path)

    return decode
