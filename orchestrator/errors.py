"""The errors that stop the program, as one tree.

A job that fails is not an error but a value (`record.results.Result`), and the run goes on. An error here says what
happened and, in `hint`, what to do now. Each class has one exit code. Errors are caught once, in `cli/app.py`.
"""

EXIT_JOBS_FAILED = 1
EXIT_USAGE = 2
EXIT_CRASHED = 70  # os.EX_SOFTWARE, which Windows lacks
EXIT_OUTPUT_LOST = 74  # os.EX_IOERR, which Windows lacks
EXIT_INTERRUPTED = 130


class OrchestratorError(Exception):
    """An error for the user: one line that says what happened, and one that says what to do."""

    exit_code = EXIT_CRASHED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OrchestratorError):
    """The command line names something that does not exist, or its options contradict each other."""

    exit_code = EXIT_USAGE


class SpecError(OrchestratorError):
    """A run spec cannot be read or is not valid."""

    exit_code = 3


class HostError(OrchestratorError):
    """This machine lacks something: a Docker daemon, a Python version, a GPU, disk space."""

    exit_code = 4


class DiskError(HostError):
    """A disk has too little free space."""


class DataError(OrchestratorError):
    """A dataset or weights file is missing, corrupt, or has other content than expected."""

    exit_code = 5


class BuildError(OrchestratorError):
    """An image or an environment could not be built."""

    exit_code = 6


class PullError(BuildError):
    """A base image could not be pulled."""


class MissingWheelError(BuildError):
    """No reachable package index has a pinned build, such as a build for CPUs only."""


class CatalogError(OrchestratorError):
    """An image folder or a workload folder of this checkout is not valid."""

    exit_code = 7


class StoreError(OrchestratorError):
    """A run directory or a result file cannot be read or written."""

    exit_code = 8


class CostError(OrchestratorError):
    """A run needs more memory or disk than there is, or more than the user agrees to. Nothing was started."""

    exit_code = 9


class CrashError(OrchestratorError):
    """An unexpected failure: the fault is in this program, and a crash report has the details."""

    exit_code = EXIT_CRASHED
