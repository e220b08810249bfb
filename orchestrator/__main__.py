"""`python -m orchestrator` and the `orchestrator` command."""

import os
import sys

from orchestrator import signals
from orchestrator.errors import EXIT_CRASHED, EXIT_INTERRUPTED


def main() -> None:
    """Run the command line. A signal ends it in order at any moment, also while modules are imported."""
    signals.install()
    try:
        from orchestrator.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001  (a module is missing; or a panic of an extension, no Exception)
        sys.exit(_crashed(error))
    finally:
        signals.ignore()


def _crashed(error: BaseException) -> int:
    """Print what ended the program outside of its command line; return the exit code. Python's own would be 1."""
    import traceback

    if os.environ.get("ROSETTA_DEBUG"):
        traceback.print_exception(error)
    sys.stderr.write(f"error: unexpected {traceback.format_exception_only(error)[-1].strip()}\n")
    sys.stderr.write("  -> if a module is missing, install the program again; ROSETTA_DEBUG=1 shows the traceback\n")
    return EXIT_CRASHED


if __name__ == "__main__":
    main()
