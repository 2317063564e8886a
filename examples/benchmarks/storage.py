"""What clustering, packing, coding of masks and the saved file cost."""

import functools
import pathlib
import tempfile

import keras
import numpy as np
from absl import flags
from keras import layers

from examples.benchmarks import banks, networks
from examples.benchmarks.comparison import compare
from examples.benchmarks.mask_lengths import ideal_bits, zero_order_entropy
from tsn_keras.bank import pack_codes, unpack_codes
from tsn_keras.bank.mask_coding import decode_mask, encode_mask
from tsn_keras.quantization.clustering import cluster_values

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "model", None, "Saved ContinualModel whose masks are coded, if given."
)

_MILLION = 1_000_000


def _with_rate(row: dict, unit: str) -> dict:
    """Adds how many millions of units a row's million takes a second."""
    row["rate"] = 1e3 / row["ours_ms"]
    print(f"{'':<44}{row['rate']:>10.0f} million {unit} a second")
    return row


def _clustering(repetitions: int) -> list[dict]:
    from sklearn.cluster import KMeans

    values = np.random.default_rng(0).standard_normal(_MILLION, np.float32)
    column = values[:, None]
    row = compare(
        "cluster 1 million values, 16 centroids/KMeans",
        lambda: cluster_values(values, 16),
        lambda: KMeans(16, n_init=1, random_state=0).fit(column),
        min(repetitions, 5),
    )
    centroids, codes = cluster_values(values, 16)
    inertia = np.square(values - centroids[codes], dtype=np.float64).sum()
    row["excess_inertia"] = float(inertia / _optimal_inertia(values) - 1)
    print(f"{'':<44}{row['excess_inertia']:>10.6%} above the optimal inertia")
    return [row]


def _optimal_inertia(values: np.ndarray) -> float:
    import kmeans1d

    ordered = np.sort(values).astype(np.float64)
    _, centroids = kmeans1d.cluster(ordered, 16)
    centroids = np.array(centroids)
    nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, ordered)
    return float(np.square(ordered - centroids[nearest]).sum())


def _packing(repetitions: int) -> list[dict]:
    codes = np.random.default_rng(0).integers(0, 8, _MILLION, np.uint8)
    packed = pack_codes(codes, 3)
    rows = [
        compare(
            "pack 1 million 3-bit codes/copy them as bytes",
            lambda: pack_codes(codes, 3),
            codes.copy,
            10 * repetitions,
        ),
        compare(
            "unpack 1 million 3-bit codes/copy as bytes",
            lambda: unpack_codes(packed, 3, _MILLION),
            codes.copy,
            10 * repetitions,
        ),
    ]
    return [_with_rate(row, "codes") for row in rows]


def _masks(repetitions: int) -> list[dict]:
    rows = []
    random = np.random.default_rng(0)
    for kept in (0.05, 0.5):
        mask = banks.pruned_mask(random, (1000, 1000), kept)
        data = encode_mask(mask)
        bits = np.packbits(mask)
        both = [
            compare(
                f"encode a mask of 1 million slots, {kept:.0%} on/packbits",
                lambda: encode_mask(mask),
                lambda: np.packbits(mask),
                repetitions,
            ),
            compare(
                f"decode a mask of 1 million slots, {kept:.0%} on/unpackbits",
                lambda: decode_mask(data, mask.shape),
                lambda: np.unpackbits(bits),
                repetitions,
            ),
        ]
        rows += [_with_rate(row, "slots") for row in both]
    return rows


def _saving(repetitions: int) -> list[dict]:
    """Against a plain model of the same architecture, and of as many bytes."""
    network = networks.NETWORKS["mlp_100"]
    ours = banks.model_with_tasks(network, 50)
    floats = len(ours.bank.to_bytes()) // 4
    as_large = keras.Sequential(
        [keras.Input((100,)), layers.Dense(floats // 101)]
    )
    rows = []
    for name, plain in (
        ("the network", networks.make_plain(network)),
        ("as many bytes", networks.compile_model(as_large)),
    ):
        rows += _save_and_load(name, ours, plain, repetitions)
    return rows


def _save_and_load(name, ours, plain, repetitions: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(pathlib.Path(folder, f"{n}.keras")) for n in "ab"]

        def save(model, path):
            model.save(path)

        def load(model, path):
            keras.models.load_model(path, compile=False)

        def save_and_load(model, path):
            save(model, path)
            load(model, path)

        rows = [
            compare(
                f"{what} 50 tasks/{name} in Keras",
                functools.partial(step, ours, paths[0]),
                functools.partial(step, plain, paths[1]),
                repetitions,
            )
            for what, step in (
                ("save", save),
                ("load", load),
                ("save and load", save_and_load),
            )
        ]
        sizes = [pathlib.Path(path).stat().st_size for path in paths]
    print(f"{'':<44}{sizes[0]:>10} and {sizes[1]} bytes")
    return [{**row, "file_bytes": sizes} for row in rows]


def _metadata() -> list[dict]:
    rows = []
    for count in (10, 100):
        model = banks.model_with_tasks(networks.NETWORKS["mlp_100"], count)
        size = model.capacity().bytes["metadata"]
        name = f"metadata of {count} tasks"
        print(f"{name:<44}{size / count:>10.1f} bytes a task")
        rows.append({"name": name, "bytes_a_task": size / count})
    return rows


def _stored_masks(path: str) -> list[dict]:
    """The coded lengths of the masks of a saved model, in bits a task."""
    bank = keras.models.load_model(path, compile=False).bank
    rows = []
    totals = np.zeros(3)
    for kernel, name in enumerate(bank.paths):
        lengths = np.array(
            [_mask_lengths(bank, task, kernel) for task in bank.tasks]
        )
        totals += lengths.mean(axis=0)
        rows.append(_mask_row(name, lengths.mean(axis=0)))
        above = int((lengths[:, 1] > lengths[:, 2]).sum())
        rows[-1]["above_zero_order"] = above
        print(f"{'':<24}{above} of {len(lengths)} masks above zero order")
    size = bank.count_bytes()["metadata"] / len(bank.tasks)
    print(f"metadata of {len(bank.tasks)} tasks: {size:.1f} bytes a task")
    rows.append({"name": "metadata", "bytes_a_task": size})
    return [*rows, _mask_row("all kernels", totals)]


def _mask_lengths(bank, task: str, kernel: int) -> tuple[float, ...]:
    own = bank.own_slots(task, kernel)
    return (
        ideal_bits(own),
        8.0 * len(encode_mask(own)),
        zero_order_entropy(own),
    )


def _mask_row(name: str, lengths: np.ndarray) -> dict:
    ideal, real, zero_order = map(float, lengths)
    print(
        f"{name:<28}ideal {ideal:9.1f}  real {real:9.1f} "
        f"({real / ideal - 1:+.2%})  zero-order {zero_order:9.1f} bits a task"
    )
    return {
        "name": f"masks of {name}",
        "ideal_bits": ideal,
        "real_bits": real,
        "zero_order_bits": zero_order,
    }


def run(repetitions: int) -> list[dict]:
    """Returns one result for each thing measured.

    Args:
        repetitions: int, measurements of each side.
    """
    rows = [
        *_clustering(repetitions),
        *_packing(repetitions),
        *_masks(repetitions),
        *_saving(repetitions),
        *_metadata(),
    ]
    if FLAGS.model:
        rows += _stored_masks(FLAGS.model)
    return rows
