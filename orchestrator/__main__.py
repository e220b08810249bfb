"""`python -m orchestrator` and the `orchestrator` command."""

import sys

from orchestrator import signals


def main() -> None:
    """Run the command line. A signal ends it in order at any moment, also while modules are imported."""
    signals.install()
    try:
        from orchestrator.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)
    finally:
        signals.ignore()


if __name__ == "__main__":
    main()
