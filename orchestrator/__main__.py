"""`python -m orchestrator` and the `orchestrator` command."""

import sys

from orchestrator import signals
from orchestrator.errors import EXIT_INTERRUPTED


def main() -> None:
    """Run the command line. A signal that arrives while its modules are imported ends it as any other does."""
    signals.install()
    try:
        from orchestrator.cli import app
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    app.main()


if __name__ == "__main__":
    main()
