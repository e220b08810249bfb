"""Known mistakes, planted into the reference (workloads/numpy) one at a time, to see where each of them leads.

The reference's own files know nothing of this: functions and methods of theirs are replaced in this process, and the
workload then runs as it always does. One module per workload maps the names of its mistakes, which its declaration
lists, to what has to be replaced.
"""

import contextlib
import importlib
import importlib.util

_INHERITED = object()  # a class has this attribute from its base


def module(name):
    """A module below workloads/."""
    return importlib.import_module("workloads." + name)


@contextlib.contextmanager
def planted(mistake, workload):
    """While the block runs, the reference makes this mistake in this workload."""
    originals = []
    try:
        for target, name, replacement in plants(workload)[mistake]():
            originals.append((target, name, vars(target).get(name, _INHERITED)))
            setattr(target, name, replacement)
        yield
    finally:
        for target, name, original in reversed(originals):
            if original is _INHERITED:
                delattr(target, name)
            else:
                setattr(target, name, original)


def plants(workload):
    """The mistakes of a workload, and the nudges: name -> function returning [(module or class, name, replacement)]."""
    from workloads.mistakes import nudges

    return dict(nudges.plants(roundings=_own(workload, "ROUNDINGS", [])), **_own(workload, "PLANTS", {}))


def _own(workload, name, default):
    """What the workload's module here defines; a workload without known mistakes has no module."""
    found = "workloads.mistakes." + workload
    if importlib.util.find_spec(found) is None:
        return default
    return getattr(importlib.import_module(found), name, default)
