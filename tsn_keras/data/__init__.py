"""The data of a task: looked at, checked, and run through in batches."""

from tsn_keras.data.arguments import check_flags as check_flags
from tsn_keras.data.arguments import check_integers as check_integers
from tsn_keras.data.arguments import check_numbers as check_numbers
from tsn_keras.data.arguments import check_paths as check_paths
from tsn_keras.data.arguments import check_strings as check_strings
from tsn_keras.data.arguments import check_tolerance as check_tolerance
from tsn_keras.data.arguments import check_verbose as check_verbose
from tsn_keras.data.arguments import shown as shown
from tsn_keras.data.arguments import unknown_task as unknown_task
from tsn_keras.data.batch_loop import BatchLoop as BatchLoop
from tsn_keras.data.batch_loop import stacked as stacked
from tsn_keras.data.batch_loop import unstacked as unstacked
from tsn_keras.data.checks import check_arrays as check_arrays
from tsn_keras.data.checks import check_finite as check_finite
from tsn_keras.data.checks import check_labels as check_labels
from tsn_keras.data.checks import check_several_classes as check_several_classes
from tsn_keras.data.checks import check_shapes as check_shapes
from tsn_keras.data.checks import check_targets as check_targets
from tsn_keras.data.checks import check_validation_data as check_validation_data
from tsn_keras.data.checks import commonest_share as commonest_share
from tsn_keras.data.checks import dtype_name as dtype_name
from tsn_keras.data.checks import explain_label_error as explain_label_error
from tsn_keras.data.checks import in_order as in_order
from tsn_keras.data.checks import labels_in_dict as labels_in_dict
from tsn_keras.data.class_names import (
    check_class_names_fit as check_class_names_fit,
)
from tsn_keras.data.class_names import (
    checked_class_names as checked_class_names,
)
from tsn_keras.data.dtypes import as_taken as as_taken
from tsn_keras.data.dtypes import check_cast as check_cast
from tsn_keras.data.dtypes import check_casts as check_casts
from tsn_keras.data.dtypes import explaining_casts as explaining_casts
from tsn_keras.data.training_data import TrainingData as TrainingData
from tsn_keras.data.training_data import count_passes as count_passes
from tsn_keras.data.training_data import (
    evaluation_batches as evaluation_batches,
)
from tsn_keras.data.training_data import in_full_batches as in_full_batches
from tsn_keras.data.training_data import joined as joined
from tsn_keras.data.training_data import num_rows as num_rows
from tsn_keras.data.training_data import read_as_new as read_as_new
from tsn_keras.data.training_data import take_rows as take_rows
