"""What is stored: components, masks, private variables, budget, capacity."""

from tsn_keras.bank.budget import SLOT_BITS as SLOT_BITS
from tsn_keras.bank.budget import BudgetError as BudgetError
from tsn_keras.bank.budget import Capacity as Capacity
from tsn_keras.bank.budget import widest_width as widest_width
from tsn_keras.bank.draft import ComponentDraft as ComponentDraft
from tsn_keras.bank.packing import pack_codes as pack_codes
from tsn_keras.bank.packing import unpack_codes as unpack_codes
from tsn_keras.bank.records import CONSTANT_WIDTH as CONSTANT_WIDTH
from tsn_keras.bank.records import FLOAT_WIDTH as FLOAT_WIDTH
from tsn_keras.bank.records import HALF_WIDTH as HALF_WIDTH
from tsn_keras.bank.records import Component as Component
from tsn_keras.bank.records import PrivateCode as PrivateCode
from tsn_keras.bank.records import TaskRecord as TaskRecord
from tsn_keras.bank.weight_bank import KernelUsage as KernelUsage
from tsn_keras.bank.weight_bank import PlaneView as PlaneView
from tsn_keras.bank.weight_bank import WeightBank as WeightBank
from tsn_keras.files import DamagedFileError as DamagedFileError

# For users: what completion shows and the reference describes.
__all__ = [
    "BudgetError",
    "Capacity",
    "Component",
    "DamagedFileError",
    "KernelUsage",
    "PlaneView",
    "PrivateCode",
    "SLOT_BITS",
    "TaskRecord",
    "WeightBank",
    "pack_codes",
    "unpack_codes",
]


def __dir__() -> list[str]:
    return __all__
