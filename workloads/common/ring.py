"""Memory for batches on their way to a GPU, of the kind that the GPU can copy from by itself."""


class Ring:
    """A few pairs of arrays, for a batch each, that are used in turns.

    `empty(shape, dtype)` makes an array, in page-locked memory for example. `mark()` is called after each step: it
    returns a function that waits until the device has done all that it was asked for before. So a pair is filled again
    only when the device has read it, and up to `pairs - 1` steps can wait for the device.
    """

    def __init__(self, x, y, batch, empty, mark, pairs=4):
        self._pairs = [tuple(empty((batch, *a.shape[1:]), a.dtype) for a in (x, y)) for _ in range(pairs)]
        self._used = [None] * pairs  # functions that wait for the step in which each pair was used
        self._mark = mark
        self._next = 0

    def __call__(self):
        """The pair for the next batch. What was asked of the device before belongs to the batch in the last one."""
        count = len(self._pairs)
        last, current = (self._next - 1) % count, self._next % count
        if self._next > 0:
            self._used[last] = self._mark()
        if self._used[current] is not None:
            self._used[current]()
        self._next += 1
        return self._pairs[current]
