"""Per-task files for LiteRT and their verification."""

from tsn_keras.lite.verification import Agreement as Agreement
from tsn_keras.lite.verification import run_file as run_file
from tsn_keras.lite.verification import verify_file as verify_file
