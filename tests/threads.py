"""Calls from many threads at once."""

import sys
import threading
from concurrent import futures


def at_once(*calls, interval=None):
    """Returns what calls return that begin together, each in its own thread.

    `interval` is after how many seconds Python goes on with another thread.
    """
    barrier = threading.Barrier(len(calls))

    def begin(call):
        barrier.wait()
        return call()

    before = sys.getswitchinterval()
    sys.setswitchinterval(interval or before)
    try:
        with futures.ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(begin, calls))
    finally:
        sys.setswitchinterval(before)
