"""What is stored: components, masks, private variables, budget, capacity."""

from tsn_keras.bank.budget import SLOT_BITS as SLOT_BITS
from tsn_keras.bank.budget import BudgetError as BudgetError
from tsn_keras.bank.budget import widest_width as widest_width
from tsn_keras.bank.capacity import Capacity as Capacity
from tsn_keras.bank.component import FLOAT_WIDTH as FLOAT_WIDTH
from tsn_keras.bank.component import Component as Component
from tsn_keras.bank.draft import ComponentDraft as ComponentDraft
from tsn_keras.bank.private_code import PrivateCode as PrivateCode
from tsn_keras.bank.task_record import TaskRecord as TaskRecord
from tsn_keras.bank.usage import KernelUsage as KernelUsage
from tsn_keras.bank.weight_bank import PlaneView as PlaneView
from tsn_keras.bank.weight_bank import WeightBank as WeightBank
