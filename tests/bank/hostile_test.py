"""Banks that were made to do harm: with a right digest, and wrong contents."""

import json
import time
import zlib

import numpy as np
from absl.testing import absltest, parameterized

from tests.bank.random_tasks import PATHS, SHAPES, random_bank, random_record
from tests.odd_values import ODD, changed, places
from tsn_keras.bank import DamagedFileError, WeightBank, file_format


def parts(saved):
    """Returns the metadata and what follows them."""
    (length,) = file_format.LENGTH.unpack_from(saved, 37)
    text = zlib.decompressobj(
        wbits=file_format.WINDOW, zdict=file_format.DICTIONARY
    )
    metadata = json.loads(text.decompress(saved[41 : 41 + length]))
    return metadata, saved[41 + length :]


def signed(packed, rest):
    body = file_format.LENGTH.pack(len(packed)) + packed + rest
    version = file_format.VERSION
    header = file_format.HEADER.pack(
        file_format.MAGIC, version, file_format.digest(version, body)
    )
    return header + body


def saved_as(metadata, rest):
    """Returns a bank that says so, with a right digest."""
    compressor = zlib.compressobj(
        9, wbits=file_format.WINDOW, zdict=file_format.DICTIONARY
    )
    text = json.dumps(metadata).encode()
    return signed(compressor.compress(text) + compressor.flush(), rest)


def use(saved):
    """Reads a bank, and all that is in it, or finds it damaged."""
    bank = WeightBank(SHAPES, PATHS)
    before = bank.to_bytes()
    try:
        bank.load_bytes(saved)
    except DamagedFileError:
        assert bank.to_bytes() == before
        return False
    except ValueError as error:
        # Of a network with other kernels.
        assert "architecture" in str(error), error
        return False
    try:
        for task in bank.tasks:
            bank.effective(task)
            bank.masks(task)
            bank.private(task)
        for kernel in range(len(SHAPES)):
            bank.used_bits(kernel)
        bank.to_bytes()
    except DamagedFileError:
        return False
    return True


class HostileBankTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        bank = random_bank(2)
        bank.add(random_record(bank, "third", 0, reference=0))
        self.metadata, self.rest = parts(bank.to_bytes())

    def test_what_is_honest_is_read(self):
        self.assertTrue(use(saved_as(self.metadata, self.rest)))

    def test_a_bank_that_goes_on(self):
        saved = saved_as(self.metadata, self.rest)
        for more in (b"\0", saved):
            self.assertFalse(use(saved + more))
            self.assertFalse(use(saved_as(self.metadata, self.rest + more)))

    def test_any_value_anywhere(self):
        rng = np.random.default_rng(0)
        found = list(places(self.metadata))
        self.assertGreater(len(found), 100)
        refused = 0
        for path in found:
            for value in rng.choice(np.array(ODD, object), 3, replace=False):
                saved = saved_as(changed(self.metadata, path, value), self.rest)
                start = time.monotonic()
                refused += not use(saved)
                self.assertLess(time.monotonic() - start, 2.0)
        self.assertGreater(refused, len(found))

    @parameterized.parameters(
        (("tasks", 0), ["a", "a", "b"]),
        (("tasks", 0, 0), "a\u0308"),
        (("tasks", 1, 0), -1),
        (("tasks", 2, 0), 0),
        (("planes", 0, 1), 2**60),
        (("planes", 0, 1), -1),
        (("components", 0, 0, 0), 9),
        (("components", 0, 1, 0), 10**6),
        (("private", 2, 0, 0), 9),
        (("facts", 0, 0), [["list"]]),
    )
    def test_what_no_bank_says(self, path, value):
        saved = saved_as(changed(self.metadata, path, value), self.rest)
        with self.assertRaises(DamagedFileError):
            file_format.from_bytes(saved)

    def test_a_reference_that_is_missing(self):
        stored = random_bank(1)
        for seed in range(20):
            name = f"like the first, {seed}"
            record = random_record(stored, name, 5 + seed, reference=0, width=1)
            if any(c.needs_reference for c in record.components):
                break
        stored.add(record)
        metadata, rest = parts(stored.to_bytes())
        saved = saved_as(changed(metadata, ("tasks", 2, 1), None), rest)
        bank = WeightBank(SHAPES, PATHS)
        bank.load_bytes(saved)
        with self.assertRaisesRegex(DamagedFileError, "say which"):
            bank.effective(name)

    def test_data_that_were_changed(self):
        """Masks, codes and values: another bank, or a damaged one."""
        rng = np.random.default_rng(0)
        for _ in range(300):
            rest = bytearray(self.rest)
            for place in rng.integers(0, len(rest), rng.integers(1, 4)):
                rest[place] = rng.integers(0, 256)
            use(saved_as(self.metadata, bytes(rest)))

    def test_metadata_that_swell(self):
        """A bank of 611 kB took 1.9 GB."""
        compressor = zlib.compressobj(
            9, wbits=file_format.WINDOW, zdict=file_format.DICTIONARY
        )
        packed, swelling = b"", b"[" * 2**20
        for _ in range(200):
            packed += compressor.compress(swelling)
        packed += compressor.flush()
        self.assertLess(len(packed), 10**6)
        with self.assertRaisesRegex(DamagedFileError, "cannot be read"):
            file_format.from_bytes(signed(packed, b""))

    def test_a_variable_that_swells(self):
        kinds = self.metadata["private"][0]
        where = next(
            index
            for index, column in enumerate(self.metadata["private"][2])
            if column[0] == 0
        )
        saved = saved_as(
            changed(self.metadata, ("private", 0, 0, where, 0), [2**20, 2**19]),
            self.rest,
        )
        self.assertEqual(kinds[0][where][1], "float32")
        with self.assertRaises(DamagedFileError):
            file_format.from_bytes(saved)


if __name__ == "__main__":
    absltest.main()
