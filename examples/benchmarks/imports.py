"""What importing tsn_keras costs beyond Keras, and what it brings along."""

import subprocess
import sys

import numpy as np

# In a process of its own. `cost` is what is added to Keras with TensorFlow.
_PROGRAM = """
import sys, time
start = time.perf_counter()
import keras
keras.backend.backend()
middle = time.perf_counter()
before = set(sys.modules)
import tsn_keras
end = time.perf_counter()
late = "tensorflow_model_optimization", "tensorflow_datasets", "matplotlib"
new = [name for name in late if name in set(sys.modules) - before]
print("RESULT", middle - start, end - middle, *new)
"""


def run(repetitions: int) -> list[dict]:
    """Returns the seconds, and the modules that should come later.

    Args:
        repetitions: int, processes.
    """
    costs, new = [], []
    for _ in range(repetitions + 1):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            capture_output=True,
            check=True,
            text=True,
        )
        keras, ours, *new = done.stdout.split("RESULT")[1].split()
        costs.append([float(ours), float(keras)])
    # The first process may have compiled the modules.
    ours, keras = np.array(costs[1:]).T
    low, high = np.quantile(ours, (0.25, 0.75))
    print(
        f"import tsn_keras {np.median(ours):.3f} s ({low:.3f} to {high:.3f}) "
        f"beyond keras with TensorFlow, {np.median(keras):.3f} s; imported "
        f"too early: {new or 'nothing'}"
    )
    return [
        {
            "name": "import tsn_keras beyond keras",
            "seconds": float(np.median(ours)),
            "spread": [float(low), float(high)],
            "keras_seconds": float(np.median(keras)),
            "too_early": new,
        }
    ]
