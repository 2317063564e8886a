"""The most memory that a training takes, over plain Keras'."""

from absl import flags

from examples.benchmarks.child_process import peak_mebibytes
from examples.benchmarks.comparison import result

FLAGS = flags.FLAGS
flags.DEFINE_bool("large", False, "Also a kernel of 50 million weights.")


def _peak(kind: str, network: str) -> float:
    program = "examples.benchmarks.one_training"
    return peak_mebibytes(
        ["-m", program, f"--kind={kind}", f"--net={network}"]
    )


def run(repetitions: int) -> list[dict]:
    """Returns one result for each network.

    Args:
        repetitions: int. The peak hardly varies: three at most.
    """
    names = FLAGS.network + ["large"] * FLAGS.large
    results = []
    for name in names:
        count = 1 if name == "large" else min(repetitions, 3)
        peaks = [
            [_peak(kind, name) for kind in ("continual", "plain")]
            for _ in range(count)
        ]
        ours, plain = sorted(peaks)[count // 2]
        ratios = [one / other for one, other in peaks]
        label = f"{name}, peak of training/plain"
        results.append(result(label, ours, plain, ratios, "MiB"))
    if FLAGS.large:
        gibibytes = _peak("whole", "large") / 1024
        print(f"{'large, train, consolidate, save':<44}{gibibytes:.2f} GiB")
        results.append({"name": "large, peak of all", "gibibytes": gibibytes})
    return results
