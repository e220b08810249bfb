"""No mistakes: changes that only rounding explains. How far they lead from the reference is what rounding may do."""

from workloads.mistakes import module

DRAWS = range(1, 5)


def plants(roundings):
    """name -> the replacements of one nudge; `roundings` are further replacements that a workload adds to each."""
    return {"nudged-{}".format(draw): _nudged(draw, roundings) for draw in DRAWS}


def _nudged(draw, roundings):
    """Every initial weight moves to one of the two float32 numbers beside it."""

    def replacements():
        import numpy as np

        job = module("common.bench").Job
        original = job.weights

        def nudge(array, random):
            aside = np.nextafter(array, np.where(random.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype))
            return np.where(array == 0, array, aside)  # beside 0 are denormal numbers

        def weights(self):
            random = np.random.default_rng(draw)
            return {name: nudge(array, random) for name, array in original(self).items()}

        return [(job, "weights", weights)] + [each for rounding in roundings for each in rounding()]

    return replacements
