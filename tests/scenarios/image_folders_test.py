"""Tests of tasks from folders of images."""

import io
import pathlib
import tempfile
import warnings
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tsn_keras.scenarios import from_image_folders, image_files, image_folders

ENCODE = {"png": tf.io.encode_png, "jpg": tf.io.encode_jpeg}


def write(path, level=100, size=(9, 7), channels=1):
    """Writes an image of one level; a list of levels is one for a channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((*size, channels)) + level
    encode = ENCODE[path.suffix[1:]]
    path.write_bytes(encode(image.astype("uint8")).numpy())


def write_class(folder, count=5, first=0, **arguments):
    """Writes images whose levels tell which image they are."""
    for number in range(count):
        level = 10 * (first + number)
        write(folder / f"{number}.png", level, **arguments)


def levels(data):
    """Returns the levels of all images, in order, and their labels."""
    pairs = [(x.numpy().mean(axis=(1, 2, 3)), y.numpy()) for x, y in data]
    x, y = map(np.concatenate, zip(*pairs))
    return np.rint(255 * x).astype(int).tolist(), y.tolist()


class ImageFoldersTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder) / "data"
        self.folder.mkdir()

    def write_task(self, name, classes=2, **arguments):
        for number in range(classes):
            folder = self.folder / name / f"class_{number}"
            write_class(folder, first=5 * number, **arguments)

    def read(self, path=None, **arguments):
        arguments = {"image_size": (4, 6), **arguments}
        path = self.folder if path is None else path
        return from_image_folders(path, **arguments)


class FromImageFoldersTest(ImageFoldersTestCase):
    def test_folders_become_tasks(self):
        self.write_task("birds", 3)
        self.write_task("ants", 2, size=(20, 30))
        scenario = self.read()
        self.assertIsInstance(scenario, tsn_keras.scenarios.Scenario)
        self.assertEqual([task.name for task in scenario], ["ants", "birds"])
        self.assertEqual([task.num_classes for task in scenario], [2, 3])
        names = ["class_0", "class_1", "class_2"]
        self.assertEqual(scenario[1].class_names, names)
        self.assertEqual(scenario.input_shape, (4, 6, 1))
        for task in scenario:
            self.assertEqual(task.input_shape, (4, 6, 1))
            self.assertEqual(levels(task.test), levels(task.test))
            found = []
            for data in (task.train, task.validation, task.test):
                spec = data.element_spec
                self.assertEqual(spec[0].shape[1:], (4, 6, 1))
                self.assertEqual(
                    (spec[0].dtype, spec[1].dtype), (tf.float32, tf.int64)
                )
                values, labels = levels(data)
                self.assertEqual(set(labels), set(range(task.num_classes)))
                # Levels tell the image, and so its class.
                self.assertEqual([v // 50 for v in values], labels)
                found += values
            expected = range(0, 50 * task.num_classes, 10)
            self.assertEqual(sorted(found), list(expected))
        self.assertIn("birds: 3 classes, 9/3/3 images", repr(scenario))

    def test_dict_and_list_of_folders(self):
        self.write_task("a")
        self.write_task("b")
        first, second = self.folder / "a", str(self.folder / "b")
        scenario = self.read([second, first])
        self.assertEqual([task.name for task in scenario], ["b", "a"])
        scenario = self.read({"one": first, "two": second, "three": first})
        names = [task.name for task in scenario]
        self.assertEqual(names, ["one", "two", "three"])

    @parameterized.parameters(
        (("train", "validation", "test"),),
        (("Training", "val", "Test"),),
        (("train", "valid"),),
        (("train", "test"),),
        (("train",),),
    )
    def test_parts(self, parts):
        for number, part in enumerate(parts):
            for label in range(2):
                folder = self.folder / "task" / part / f"class_{label}"
                write_class(folder, 3, first=6 * number + 3 * label)
        task = self.read()[0]
        given = [part.lower() for part in parts]
        values, labels = levels(task.train)
        missing = 3 - len(parts)
        self.assertLen(values, 6 - 2 * missing)
        self.assertContainsSubset(values, range(0, 60, 10))
        for part in ("validation", "test"):
            names = {"validation": ("validation", "val", "valid")}
            (number, *_) = [
                given.index(name)
                for name in names.get(part, (part,))
                if name in given
            ] or [0]
            found, labels = levels(getattr(task, part))
            self.assertLen(found, 6 if number else 2)
            first = 60 * number
            self.assertContainsSubset(found, range(first, first + 60, 10))
            self.assertEqual(set(labels), {0, 1})

    def test_a_class_may_be_named_as_a_part_is(self):
        for name in ("train", "plane"):
            write_class(self.folder / "vehicles" / name)
        self.assertEqual(self.read()[0].class_names, ["plane", "train"])

    def test_the_split_follows_the_seed_and_the_task_only(self):
        self.write_task("b")
        before = self.read(seed=1)[0]
        self.write_task("a")
        after = self.read(seed=1)[1]
        other = self.read(seed=2)[1]
        self.assertEqual(levels(before.test), levels(after.test))
        self.assertEqual(levels(before.train), levels(after.train))
        self.assertNotEqual(
            levels(before.test) + levels(before.validation),
            levels(other.test) + levels(other.validation),
        )

    def test_training_images_are_shuffled_anew(self):
        self.write_task("a", 5)
        task = self.read()[0]
        first, second = levels(task.train)[0], levels(task.train)[0]
        self.assertNotEqual(first, second)
        self.assertEqual(sorted(first), sorted(second))

    @parameterized.parameters(
        ("auto", False, 1),
        ("auto", True, 3),
        ("rgb", False, 3),
        ("grayscale", True, 1),
    )
    def test_channels(self, color_mode, has_colour, channels):
        # Grey ones may have three channels too.
        self.write_task("a", channels=1)
        self.write_task("b", channels=3)
        if has_colour:
            path = self.folder / "b" / "class_0" / "0.png"
            write(path, [200, 0, 0], channels=3)
        scenario = self.read(color_mode=color_mode)
        self.assertEqual(scenario.input_shape, (4, 6, channels))
        for task in scenario:
            for x, _ in task.test:
                self.assertEqual(x.shape[1:], (4, 6, channels))
        mode = "rgb" if channels == 3 else "grayscale"
        self.assertEqual(scenario.color_mode, mode)

    @parameterized.parameters("auto", "grayscale")
    def test_images_read_from_disk_are_those_kept(self, color_mode):
        random = np.random.default_rng(0)
        for name in ("a", "b"):
            for number in range(4):
                path = self.folder / "task" / name / f"{number}.jpg"
                write(path, random.integers(0, 255, (9, 8, 3)), (9, 8), 3)
        kept = self.read(color_mode=color_mode)
        with mock.patch.object(image_folders, "MOST_KEPT_BYTES", 0):
            read = self.read(color_mode=color_mode)
        for part in ("train", "validation", "test"):
            for one, other in zip(
                getattr(kept[0], part), getattr(read[0], part), strict=True
            ):
                np.testing.assert_array_equal(one[0], other[0])
                np.testing.assert_array_equal(one[1], other[1])

    def test_what_is_no_image_is_listed(self):
        self.write_task("a")
        folder = self.folder / "a" / "class_0"
        whole = (folder / "0.png").read_bytes()
        contents = {
            "cut.png": whole[: len(whole) // 2],
            "empty.jpg": b"",
            "notes.txt": b"what we saw",
            "page.jpg": b"<html>not found</html>",
            "palette.bmp": b"BM" + bytes(26) + b"\x08" + bytes(99),
        }
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        beside = self.folder / "labels.csv"
        beside.write_text("a,b")
        (self.folder / ".DS_Store").write_text("")
        (folder / "._0.png").write_text("")
        (self.folder / "__MACOSX").mkdir()
        with self.assertWarnsRegex(UserWarning, "(?s)left out: 6.*and 3 more"):
            scenario = self.read()
        self.assertEqual(
            sorted(scenario.skipped),
            sorted(
                map(str, [*map(folder.joinpath, contents), beside]),
            ),
        )
        self.assertIn("damaged", scenario.skipped[str(folder / "cut.png")])
        self.assertIn("no image", scenario.skipped[str(folder / "page.jpg")])
        self.assertEqual(sum(len(y) for _, y in scenario[0].train), 6)

    @parameterized.parameters((True, True), (True, False), (False, True))
    def test_a_bar_is_shown_in_terminals_only(self, verbose, is_terminal):
        self.write_task("a")
        seconds = mock.patch.object(image_files, "SECONDS_WITHOUT_BAR", 0.0)
        with seconds, mock.patch("sys.stdout", io.StringIO()) as printed:
            with mock.patch.object(
                printed, "isatty", return_value=is_terminal
            ):
                self.read(verbose=verbose)
        shown = "10/10" in printed.getvalue()
        self.assertEqual(shown, verbose and is_terminal)
        self.assertEqual(bool(printed.getvalue()), shown)

    def test_nothing_is_said_of_sound_folders(self):
        self.write_task("a")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertEmpty(self.read().skipped)

    def test_transparent_parts_become_white(self):
        self.write_task("a")
        for number, channels in enumerate((2, 4)):
            path = self.folder / "a" / "class_0" / f"clear_{number}.png"
            colour = [0] * (channels - 1)
            write(path, [*colour, 0], channels=channels)
            np.testing.assert_array_equal(self.read().read_image(path), 1.0)
            write(path, [*colour, 255], channels=channels)
            np.testing.assert_array_equal(self.read().read_image(path), 0.0)

    def test_large_images_are_averaged(self):
        self.write_task("a")
        path = self.folder / "a" / "class_0" / "checks.png"
        checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
        write(path, checks[..., None], (64, 64))
        image = self.read().read_image(path)
        np.testing.assert_allclose(image, 0.5, atol=0.02)

    def test_read_image_gives_what_tasks_have(self):
        self.write_task("a")
        scenario = self.read()
        path = self.folder / "a" / "class_1" / "3.png"
        image = scenario.read_image(path)
        self.assertEqual(image.shape, (1, 4, 6, 1))
        np.testing.assert_allclose(image, 80 / 255)
        with self.assertRaisesRegex(ValueError, "no image.*No such file"):
            scenario.read_image(self.folder / "nowhere.png")
        path.write_text("text")
        with self.assertRaisesRegex(ValueError, "is no image to read: no im"):
            scenario.read_image(path)
        with self.assertRaisesRegex(TypeError, "`path` must be a path"):
            scenario.read_image(None)

    def test_large_images_come_in_small_batches(self):
        self.write_task("a")
        with mock.patch("tsn_keras.scenarios.pipeline.MOST_BATCH_BYTES", 96):
            task = self.read(batch_size=1)[0]
            self.assertEqual([len(y) for _, y in task.test], [1, 1])


class RunOfImageFoldersTest(ImageFoldersTestCase):
    def make_run(self, **arguments):
        scenario = self.read(batch_size=4)
        keras.utils.set_random_seed(0)
        backbone = keras.Sequential(
            [
                keras.Input(scenario.input_shape),
                keras.layers.Flatten(),
                keras.layers.Dense(8, activation="relu"),
            ]
        )
        model = tsn_keras.ContinualModel(backbone, pruning="magnitude")
        model.compile(
            "adam",
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return tsn_keras.evaluation.ScenarioRun(
            model, scenario, self.folder.parent / "run", **arguments
        )

    def learn(self, run):
        head = keras.layers.Dense(run.remaining[0].num_classes)
        run.learn(head, epochs=2)

    def test_is_run_and_resumed_with_other_numbers_of_classes(self):
        self.write_task("a", 2)
        self.write_task("b", 3)
        run = self.make_run()
        self.learn(run)
        run = self.make_run(resume=True)
        self.assertLen(run.remaining, 1)
        self.learn(run)
        report = run.finish({})
        self.assertTrue(report["bit_exact"])
        x = self.read().read_image(self.folder / "b" / "class_0" / "0.png")
        self.assertEqual(
            run.model.predict(x, task="b", verbose=0).shape, (1, 3)
        )

    def test_an_image_more_is_another_run(self):
        self.write_task("a", 2)
        self.learn(self.make_run())
        write(self.folder / "a" / "class_0" / "new.png", 77)
        with self.assertRaisesRegex(ValueError, "begun with other data"):
            self.make_run(resume=True)


class BadFoldersTest(ImageFoldersTestCase):
    def check(self, message, path=None, **arguments):
        with self.assertRaisesRegex(ValueError, message):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.read(path, **arguments)

    def test_missing_folder(self):
        self.write_task("a")
        self.check(
            r"no folder '.*/data/nowhere/deeper'. '.*data' exists, .* \['a'\]",
            self.folder / "nowhere" / "deeper",
        )
        path = self.folder / "a" / "class_0" / "0.png"
        self.check("0.png' is a file", path)
        self.check("There is no folder", {"a": self.folder / "b"})

    def test_empty_folders(self):
        self.check("data' is empty. It must have one folder for each task")
        write_class(self.folder)
        self.check("data' has 5 files and no folders")
        (self.folder / "a").mkdir()
        self.check("such as 'a', have no folders of classes")
        self.check("`path` names no folder", [])
        self.check("`path` names no folder", {})

    def test_one_task_for_all(self):
        self.write_task("task")
        self.check(
            r"have no folders of classes.*give \{'task':",
            self.folder / "task",
        )

    def test_parts_above_tasks(self):
        for part in ("train", "val"):
            self.write_task(f"{part}/task")
        self.check(r"\['train', 'val'\], which are parts of one task")

    def test_one_folder_too_high(self):
        self.write_task("x/task")
        self.check("has a folder in it")
        self.write_task("x/task_2")
        self.check("Class 'task' of task 'x' has a folder in it")

    def test_parts_beside_classes(self):
        self.write_task("task/train")
        write_class(self.folder / "task" / "cats")
        self.check(r"folders of parts, \['train'\], beside others, \['cats'\]")

    def test_two_folders_of_one_part(self):
        for part in ("train", "val", "validation"):
            self.write_task(f"task/{part}")
        self.check("two folders of validation data")

    def test_no_training_part(self):
        for part in ("validation", "test"):
            self.write_task(f"task/{part}")
        self.check("no folder 'train'")

    @parameterized.parameters("train", "validation", "test")
    def test_class_missing_in_a_part(self, missing):
        for part in ("train", "validation", "test"):
            self.write_task(f"task/{part}", 2 if part == missing else 3)
        self.check(
            rf"Task 'task' has no folder for the classes \['class_2'\] in its "
            f"{missing} part"
        )

    def test_class_without_images_in_a_part(self):
        for part in ("train", "validation"):
            self.write_task(f"task/{part}")
        folder = self.folder / "task" / "validation" / "class_1"
        for path in folder.iterdir():
            path.write_text("no image")
        self.check(
            "Class 'class_1' of task 'task' has no image in its validation "
            "part.*task that were left out: 5, such as.*no image"
        )

    def test_one_class(self):
        self.write_task("task", 1)
        self.check("Task 'task' has only the class 'class_0'")

    @parameterized.parameters((0, "no image"), (1, "only 1 image "), (2, "2 i"))
    def test_too_few_images(self, count, has):
        self.write_task("task")
        write_class(self.folder / "task" / "few", count)
        (self.folder / "task" / "few").mkdir(exist_ok=True)
        self.check(
            f"Class 'few' of task 'task' has .*{has}.*"
            "at least 3, to train and validation and test"
        )

    def test_one_image_in_all(self):
        write_class(self.folder / "task" / "one", 1)
        self.check("Task 'task' has only the class 'one'")

    def test_no_image_is_any(self):
        for name in ("one", "two"):
            (self.folder / "task" / name).mkdir(parents=True)
            for number in range(3):
                path = self.folder / "task" / name / f"{number}.jpg"
                path.write_text("text")
        self.check("'one' of task 'task' has no image.*left out: 6")

    def test_two_tasks_of_one_name(self):
        self.write_task("x/task")
        self.write_task("y/task")
        folders = [self.folder / part / "task" for part in "xy"]
        self.check("Two tasks are named 'task': .*Name them in a dict", folders)

    @parameterized.named_parameters(
        ("mode", {"color_mode": "grey"}, "`color_mode`.*'auto', 'rgb', 'gra"),
        ("split", {"validation_split": 0}, "`validation_split` must lie"),
        ("splits", {"validation_split": 0.5, "test_split": 0.6}, "nothing to"),
        ("size", {"image_size": (0, 3)}, "`image_size` must be an integer"),
        ("batch", {"batch_size": 0}, "`batch_size`"),
    )
    def test_bad_arguments(self, arguments, message):
        self.write_task("a")
        self.check(message, **arguments)
