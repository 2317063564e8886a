"""What users find: names that complete, docstrings, types, reference pages."""

import importlib.resources
import inspect
import pathlib
import types

from absl.testing import parameterized

import tsn_keras

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = sorted(
    name
    for name in tsn_keras.__all__
    if isinstance(getattr(tsn_keras, name), types.ModuleType)
)
# What rooms give to other rooms, and not to users.
HOUSE = {
    "bank": "CONSTANT_WIDTH ComponentDraft FLOAT_WIDTH HALF_WIDTH widest_width",
    "inference": "Known candidates get_scores known_of learned needs_outputs "
    "portable",
    "layers": "Kernels MaskedKernel assign call_given computing_with "
    "computing_with_own_values counting_parameters given_value "
    "has_given_values "
    "is_named_as_kernel read signature with_quick_averages without_noise",
    "lite": "Samples packed_bytes verify_content",
    "pruning": "MaskUpdates check_second_moments has_second_moments "
    "kept_slots loss_of rank_together refine second_moment",
    "quantization": "CentroidTuning code_bits place_all "
    "search_private_widths search_widths widen_worst",
    "sharing": "Nearest activation_statistics compare",
}

# Methods that Keras documents.
OF_KERAS = ("from_config", "get_config", "load_assets", "save_assets")


def public_names(room):
    """Yields the full name and the value of each public name of a room."""
    if not room:
        yield "tsn_keras.ContinualModel", tsn_keras.ContinualModel
        return
    module = getattr(tsn_keras, room)
    for name in module.__all__:
        yield f"tsn_keras.{room}.{name}", getattr(module, name)


def own_members(value):
    """Yields what a public class adds to those of Keras and of Python."""
    for name, member in vars(value).items():
        if isinstance(member, (classmethod, staticmethod)):
            member = member.__func__
        named = not name.startswith("_") and (
            inspect.isfunction(member) or isinstance(member, property)
        )
        inherited = any(name in vars(base) for base in value.__mro__[1:])
        if named and not inherited and name not in OF_KERAS:
            yield name, member


class PublicNamesTest(parameterized.TestCase):
    @parameterized.parameters("", *ROOMS)
    def test_completion_shows_public_names_only(self, room):
        module = getattr(tsn_keras, room) if room else tsn_keras
        self.assertEqual(dir(module), sorted(module.__all__))
        self.assertContainsSubset(module.__all__, vars(module))

    @parameterized.parameters(*ROOMS)
    def test_every_name_is_for_users_or_for_the_house(self, room):
        module = getattr(tsn_keras, room)
        given = {
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and (
                not isinstance(value, types.ModuleType)
                or name in module.__all__
            )
        }
        house = set(HOUSE.get(room, "").split())
        self.assertEmpty(house & set(module.__all__))
        self.assertEqual(
            given,
            house | set(module.__all__),
            f"Add new names to `__all__` of tsn_keras/{room}/__init__.py, "
            "or to HOUSE in this file",
        )

    @parameterized.parameters("", *ROOMS)
    def test_public_names_have_docstrings(self, room):
        missing = []
        for full_name, value in public_names(room):
            if not callable(value):
                continue
            own = value.__doc__ and not value.__doc__.startswith(
                f"{value.__name__}("  # The one that dataclasses make.
            )
            missing += [] if own else [full_name]
            if inspect.isclass(value):
                missing += [
                    f"{full_name}.{name}"
                    for name, member in own_members(value)
                    if not member.__doc__
                ]
        self.assertEmpty(missing)

    def test_every_room_is_on_a_page_of_the_reference(self):
        for room in ROOMS:
            page = ROOT / "docs" / "reference" / f"{room}.md"
            self.assertIn(f"::: tsn_keras.{room}\n", page.read_text("utf-8"))

    def test_type_checkers_are_told_of_the_hints(self):
        marker = importlib.resources.files(tsn_keras) / "py.typed"
        self.assertTrue(marker.is_file())
