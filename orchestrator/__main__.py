"""`python -m orchestrator` and the `orchestrator` command."""

import signal
import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it with one line at any moment, also while modules are imported."""
    try:
        from orchestrator.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # an exception while Python shuts down would be printed


if __name__ == "__main__":
    main()
