"""Everything that can stop the program, as one tree.

A job that fails is not here: it is a value (`results.Result`) and the sweep goes on. These are the errors after
which there is nothing left to run. Each says what happened and, in `hint`, what to do now; each has one exit code.
They are raised anywhere and caught once, in `cli/app.py`.
"""

EXIT_JOBS_FAILED = 1
EXIT_USAGE = 2
EXIT_CRASHED = 70  # os.EX_SOFTWARE, which Windows lacks
EXIT_INTERRUPTED = 130


class OrchestratorError(Exception):
    """An error meant for a person: one line of what happened and one line of what to do."""

    exit_code = EXIT_CRASHED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OrchestratorError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = EXIT_USAGE


class SpecError(OrchestratorError):
    """A run spec cannot be read or says something that is not allowed."""

    exit_code = 3


class HostError(OrchestratorError):
    """This machine lacks something: a Docker daemon, a Python version, a GPU, disk space."""

    exit_code = 4


class DiskError(HostError):
    """There is too little room on a disk for what is asked."""


class DataError(OrchestratorError):
    """A dataset or weights file is missing, corrupt or not what it claims to be."""

    exit_code = 5


class BuildError(OrchestratorError):
    """An image or an environment could not be built."""

    exit_code = 6


class PullError(BuildError):
    """A base image could not be pulled."""


class MissingWheelError(BuildError):
    """A pinned build is on no package index within reach, such as a build for CPUs only."""


class CatalogError(OrchestratorError):
    """An image folder or a workload folder of this checkout is malformed."""

    exit_code = 7


class StoreError(OrchestratorError):
    """A run directory or a result file cannot be read or written."""

    exit_code = 8


class CrashError(OrchestratorError):
    """This program failed in a way that it does not expect: the cause is its own fault, and a crash report tells it."""

    exit_code = EXIT_CRASHED
