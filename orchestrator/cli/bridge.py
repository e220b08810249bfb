"""The callbacks that run/ and engines/ still ask for. They write to the log: delete this when no caller is left."""

from __future__ import annotations

import logging

_log = logging.getLogger("orchestrator")
notify = _log.warning
log = _log.info
