import dataclasses
from unittest import mock

import numpy as np
from absl.testing import parameterized

from tests.bank.random_tasks import PATHS, SHAPES, random_bank
from tsn_keras.bank import DamagedFileError, WeightBank, file_format


class FileFormatTest(parameterized.TestCase):
    @parameterized.parameters(0, 1, 2, 5)
    def test_round_trip_to_the_bit(self, num_tasks):
        bank = random_bank(num_tasks)
        saved = bank.to_bytes()
        records, base, _ = file_format.from_bytes(saved)
        self.assertEmpty(base)
        self.assertLen(records, num_tasks)
        self.assertEqual(file_format.to_bytes(records, (), SHAPES), saved)
        for record in records:
            stored = bank[record.name]
            self.assertEqual(record.planes, stored.planes)
            self.assertEqual(record.reference, stored.reference)
            self.assertEqual(record.facts, stored.facts)
            self.assertEqual(record.private, stored.private)
            self.assertEqual(record.statistics, stored.statistics)

    @parameterized.parameters(0, 1, 4)
    def test_count_is_the_length(self, num_tasks):
        bank = random_bank(num_tasks)
        counted = bank.count_bytes()
        self.assertEqual(sum(counted.values()), len(bank.to_bytes()))
        self.assertEqual(
            set(counted),
            {
                "codes",
                "masks",
                "codebooks",
                "private",
                "statistics",
                "base",
                "metadata",
            },
        )

    def test_any_names_and_facts(self):
        bank = random_bank(1)
        record = bank["task 0"]
        facts = {"nearest": "ä/ß 数", "divergence": float("inf")}
        record = dataclasses.replace(record, name="ü \"'", facts=facts)
        saved = file_format.to_bytes([record], (), SHAPES)
        ((again,), _, _) = file_format.from_bytes(saved)
        self.assertEqual(again.name, "ü \"'")
        self.assertEqual(again.facts, facts)

    def test_every_truncation(self):
        saved = random_bank(2).to_bytes()
        for length in range(len(saved)):
            with self.assertRaisesRegex(DamagedFileError, "damaged"):
                file_format.from_bytes(saved[:length])

    def test_bytes_too_many(self):
        with self.assertRaisesRegex(DamagedFileError, "damaged"):
            file_format.from_bytes(random_bank(2).to_bytes() + b"\0")

    def test_every_damaged_byte(self):
        saved = random_bank(2).to_bytes()
        for position in range(len(saved)):
            damaged = bytearray(saved)
            damaged[position] ^= 1 << position % 8
            with self.assertRaises(DamagedFileError):
                file_format.from_bytes(bytes(damaged))

    def test_another_file(self):
        with self.assertRaisesRegex(ValueError, "begins with b'TSNB'.*PK"):
            file_format.from_bytes(b"PK" + random_bank(1).to_bytes()[2:])

    def test_base_is_stored_to_the_bit(self):
        bank = WeightBank(SHAPES, PATHS)
        rng = np.random.default_rng(0)
        base = [
            rng.normal(size=(7, 5)).astype(np.float32),
            np.zeros(4, np.float32),
            np.arange(3),
        ]
        bank.set_base(base)
        self.assertEqual(bank.count_bytes()["base"], 4 * 35 + 4 + 8 * 3)
        again = WeightBank(SHAPES, PATHS)
        again.load_bytes(bank.to_bytes())
        for one, other in zip(base, again.base_values(), strict=True):
            self.assertEqual(one.dtype, other.dtype)
            np.testing.assert_array_equal(one, other)
        bank = random_bank(1)
        with self.assertRaisesRegex(ValueError, "never changes"):
            bank.set_base(base)

    @parameterized.parameters(0, 1, 5, 8, 99, 255)
    def test_other_versions_are_refused(self, version):
        """And told apart from a version byte that was damaged."""
        with mock.patch.object(file_format, "VERSION", version):
            saved = random_bank(1).to_bytes()
        self.assertEqual(saved[4], version)
        message = (
            f"format version {version}; this tsn_keras reads version "
            f"{file_format.VERSION}. Load it with the release that wrote it"
        )
        bank = random_bank(2)
        before = bank.to_bytes()
        with self.assertRaisesRegex(DamagedFileError, message):
            bank.load_bytes(saved)
        self.assertEqual(bank.to_bytes(), before)
        # Its checksum was another one before version 6.
        older = b"TSNB\5" + random_bank(1).to_bytes()[5:]
        with self.assertRaisesRegex(DamagedFileError, "format version 5"):
            bank.load_bytes(older)
        damaged = bytearray(random_bank(1).to_bytes())
        damaged[4] = version
        with self.assertRaisesRegex(DamagedFileError, "damaged"):
            bank.load_bytes(bytes(damaged))

    def test_metadata_alone_of_an_empty_bank(self):
        counted = WeightBank(SHAPES, PATHS).count_bytes()
        self.assertLess(counted.pop("metadata"), 90)
        np.testing.assert_array_equal(list(counted.values()), 0)
