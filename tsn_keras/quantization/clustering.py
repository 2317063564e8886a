"""Codebooks for a list of values: optimal, or evenly spaced."""

import numpy as np

_MAX_SORTED = 2**18
_MIN_BINS = 2**13
# Codes have 8 bits at most.
_MAX_CLUSTERS = 256
_MIN_POINTS = 2048
_POINTS_PER_CLUSTER = 32
_MAX_LLOYD_PASSES = 20


def cluster_values(
    values: np.ndarray, num_clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the codebook of at most `num_clusters` centroids for `values`.

    It has the least inertia, `sum((values - centroids[codes])**2)`. In one
    dimension a cluster is an interval of the sorted values, and dynamic
    programming over the intervals finds the global optimum (Wang and Song,
    2011, Ckmeans.1d.dp). The best start of the last interval moves to the
    right with its end, so that one cluster more costs `O(n log n)` (Grønlund
    et al., 2017).

    Equal values are one point with a weight, which the library kmeans1d does
    not take. If there are more than `max(2048, 32 * num_clusters)` distinct
    values, runs of neighbours are merged into their mean. The runs have the
    density `f**(1/3)` of an optimal quantizer (Panter and Dite, 1951), and a
    few passes of Lloyd's algorithm over all values follow. The inertia is then
    typically within 0.01 % of the optimum, for heavy tails as well. More than
    262,144 values are not sorted: see `OrderedBins`.

    >>> values = np.array([0.9, -1.0, 1.1, -1.0, 5.0])
    >>> centroids, codes = cluster_values(values, num_clusters=3)
    >>> centroids
    array([-1.,  1.,  5.], dtype=float32)
    >>> codes
    array([1, 0, 1, 0, 2], dtype=uint8)

    Args:
        values: finite real array of shape `(n,)`, `n > 0`. Taken as float32.
        num_clusters: from 1 to 256. Fewer distinct values are the centroids.

    Returns:
        The centroids in ascending order, and the index of the nearest one for
        every value.
    """
    values = _check_values(values)
    if not 1 <= num_clusters <= _MAX_CLUSTERS:
        raise ValueError(
            f"`num_clusters` must be from 1 to {_MAX_CLUSTERS}. Received: "
            f"{num_clusters}. Keep the values as float32 if so many levels "
            "are needed."
        )
    bins = None
    if values.size > _MAX_SORTED:
        bins = OrderedBins(values)
        points, weights = bins.points, bins.weights
        # Values that lie close together, far from zero, share few bins.
        if points.size < _MIN_BINS:
            bins = None
    if bins is None:
        points, weights = np.unique(values, return_counts=True)
        points = points.astype(np.float64)
    centroids = points
    if points.size > num_clusters:
        runs = _merged(points, weights, num_clusters)
        start = _optimal_centroids(*runs, num_clusters)
        centroids = _lloyd(points, weights, start)
    centroids = centroids.astype(np.float32)
    if bins is None:
        return centroids, _nearest(centroids, values)
    return centroids, bins.codes(_middles(centroids.astype(np.float64)))


def linear_values(
    values: np.ndarray, num_clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Makes an evenly spaced codebook around zero, as integer kernels want.

    With `num_clusters = 2**b` and `m = 2**(b - 1) - 1` the centroids are

        scale * q    for q = -m, ..., m    with scale = max|values| / m

    which is symmetric integer quantization (Jacob et al., 2018, and the
    weights of the LiteRT int8 specification). One bit gives the two
    centroids `-mean|values|` and `+mean|values|`, the best ones for signs
    (Rastegari et al., 2016).

    >>> centroids, codes = linear_values(np.array([-3.0, 0.9, 2.0]), 8)
    >>> centroids
    array([-3., -2., -1.,  0.,  1.,  2.,  3.], dtype=float32)
    >>> codes
    array([0, 4, 5], dtype=uint8)

    If all values are zero there is one centroid, 0. Values and results are as
    of `cluster_values`, and `num_clusters` is a power of two from 2 to 256.
    """
    values = _check_values(values)
    if num_clusters not in {2**bits for bits in range(1, 9)}:
        raise ValueError(
            f"`num_clusters` must be a power of two from 2 to {_MAX_CLUSTERS}. "
            f"Received: {num_clusters}"
        )
    magnitudes = np.abs(values)
    if num_clusters == 2:
        scale = np.float32(magnitudes.mean(dtype=np.float64))
        levels = np.array([-1, 1])
    else:
        top = num_clusters // 2 - 1
        scale = np.float32(float(magnitudes.max()) / top)
        levels = np.arange(-top, top + 1)
    # The scale of subnormal values can vanish in float32.
    levels = levels if scale > 0 else np.zeros(1)
    centroids = scale * levels.astype(np.float32)
    return centroids, _nearest(centroids, values)


def _check_values(values):
    values = np.asarray(values)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            "`values` must be a 1-D array with at least one value. Received: "
            f"shape {values.shape}"
        )
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    finite = np.isfinite(single)
    if not finite.all():
        index = int(np.argmin(finite))
        raise ValueError(
            "`values` must be finite in float32. Received: "
            f"{values[index]} at index {index}. Training has probably "
            "diverged: lower the learning rate, or check the data."
        )
    return single


def _nearest(centroids, values):
    """Returns the nearest of the sorted centroids (ties: the lower)."""
    middles = _middles(centroids.astype(np.float64))
    return np.searchsorted(middles, values).astype(np.uint8)


def _middles(centroids):
    return (centroids[:-1] + centroids[1:]) / 2


def _merged(points, weights, num_clusters):
    """Returns ascending points, merged if they are many, and weights."""
    max_points = max(_MIN_POINTS, _POINTS_PER_CLUSTER * num_clusters)
    if points.size <= max_points:
        return points, weights
    # With `w` values to a gap the density f is about w / (n gap), so the
    # integral of the ideal density f**(1/3) is the sum of (w gap**2)**(1/3).
    # The rank as the second half keeps a few far values from using up all
    # runs.
    gaps = np.diff(points, prepend=points[0])
    spacing = np.cumsum(np.cbrt(weights * gaps**2))
    rank = np.cumsum(weights) - weights
    place = spacing / spacing[-1] + rank / (rank[-1] + weights[-1])
    run = (place * (max_points / 2)).astype(np.int64)
    first = np.flatnonzero(np.append(True, run[1:] != run[:-1]))
    total = np.add.reduceat(weights, first)
    return np.add.reduceat(points * weights, first) / total, total


def _optimal_centroids(points, weights, num_clusters):
    """Weighted 1-D k-means of ascending points, to the global optimum."""
    # The inertia is a constant minus sum(S**2 / W) over the clusters, S and W
    # being a cluster's weighted sum and weight. Sums around the mean do not
    # cancel when all points lie far from zero.
    center = np.average(points, weights=weights)
    weight = np.append(0.0, np.cumsum(weights))
    total = np.append(0.0, np.cumsum(weights * (points - center)))
    cost = np.append(np.inf, -(total[1:] ** 2) / weight[1:])
    starts = []
    for used in range(2, num_clusters + 1):
        cost, start = _add_cluster(cost, weight, total, used)
        starts.append(start)
    bounds = [points.size]
    for start in reversed(starts):
        bounds.append(start[bounds[-1]])
    bounds = np.array([*bounds, 0])[::-1]
    return np.diff(total[bounds]) / np.diff(weight[bounds]) + center


def _add_cluster(cost, weight, total, used):
    """The best costs of all prefixes with one cluster more.

    `cost[e]` is the best cost of the first `e` points in `used - 1`
    clusters. Returns the same for `used` clusters, and the first point of
    each last cluster. Ends are solved level by level: the ends between two
    solved ones search between the starts of these only.
    """
    size = weight.size - 1
    best = np.full(size + 1, np.inf)
    start = np.zeros(size + 1, np.int32)
    step = 1 << (size.bit_length() - 1)
    while step:
        end = np.arange(step, size + 1, 2 * step)
        end = end[end >= used]
        before, after = end - step, np.minimum(end + step, size)
        low = np.where(before >= used, start[before], used - 1)
        high = np.where(end + step <= size, start[after], end - 1)
        count = np.minimum(high, end - 1) - low + 1
        if end.size:
            offset = np.cumsum(count) - count
            ends = np.repeat(end, count)
            begins = np.arange(ends.size) - np.repeat(offset - low, count)
            gain = (total[ends] - total[begins]) ** 2
            candidates = cost[begins] - gain / (weight[ends] - weight[begins])
            best[end] = np.minimum.reduceat(candidates, offset)
            hits = np.flatnonzero(candidates == best[ends])
            start[end] = begins[hits[np.searchsorted(hits, offset)]]
        step //= 2
    return best, start


def _lloyd(points, weights, centroids):
    """Lloyd's algorithm; on ascending points a pass takes O(k log n)."""
    center = np.average(points, weights=weights)
    total = np.append(0.0, np.cumsum(weights * (points - center)))
    weight = np.append(0.0, np.cumsum(weights))
    for _ in range(_MAX_LLOYD_PASSES):
        inner = np.searchsorted(points, _middles(centroids), side="right")
        bounds = np.concatenate([[0], inner, [points.size]])
        count = np.diff(weight[bounds])
        if not count.all():
            break
        moved = np.diff(total[bounds]) / count + center
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


_BITS = 20
_SIGN = np.uint32(2**31)


def _keys(values: np.ndarray) -> np.ndarray:
    """Returns the bin of each value: the upper bits of its rank among floats.

    As unsigned numbers, the bits of positive floats ascend with the value and
    those of negative floats descend.
    """
    # A negative zero becomes a positive one.
    bits = (values + np.float32(0)).view(np.uint32)
    flips = np.where(bits < _SIGN, _SIGN, np.uint32(2**32 - 1))
    return ((bits ^ flips) >> np.uint32(32 - _BITS)).astype(np.int32)


class OrderedBins:
    """Many float32 values in bins of ascending order, without sorting them.

    A bin holds the values with the same sign, exponent and first 11 bits of
    the mantissa. `points` are the means of the bins that are not empty, in
    ascending order, and `weights` how many values each of them holds.
    """

    def __init__(self, values: np.ndarray):
        self._values = values
        self._keys = _keys(values)
        counts = np.bincount(self._keys, minlength=2**_BITS)
        sums = np.bincount(self._keys, weights=values, minlength=2**_BITS)
        held = np.flatnonzero(counts)
        self.weights = counts[held]
        self.points = sums[held] / self.weights

    def codes(self, bounds: np.ndarray) -> np.ndarray:
        """Returns for each value how many bounds are below it, exactly.

        Args:
            bounds: float64 array, ascending, of at most 255 values.
        """
        cut = _keys(bounds.astype(np.float32))
        below = np.bincount(cut + 1, minlength=2**_BITS + 1)
        codes = np.cumsum(below, dtype=np.uint8)[self._keys]
        # Only a bin that a bound cuts has values on both sides of the bound.
        is_cut = np.zeros(2**_BITS, bool)
        is_cut[cut] = True
        unsure = np.flatnonzero(is_cut[self._keys])
        codes[unsure] = np.searchsorted(bounds, self._values[unsure])
        return codes
