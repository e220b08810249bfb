"""What the Docker daemon refuses, or its absence, as a failure of the job with a remedy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker.errors
import requests

from orchestrator.engines.base import EngineError
from orchestrator.engines.docker.client import USE_LOCAL, reason
from orchestrator.engines.docker.same_machine import UNSEEN

LOST_HINT = "check the daemon (`docker info`), then go on with --resume"


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what the daemon refuses, or its absence, into a failure of the job."""
    try:
        yield
    except docker.errors.APIError as error:
        raise refusal(what, error) from error
    except requests.exceptions.RequestException as error:
        raise EngineError(f"no Docker daemon answers ({reason(error)})", hint=LOST_HINT) from error


def refusal(what: str, error: docker.errors.APIError) -> EngineError:
    """The daemon's refusal with the remedy."""
    text = str(error.explanation)
    no_gpu = "device driver" in text or "nvidia" in text.lower() or "cdi" in text.lower()
    if no_gpu:
        hint = "this Docker cannot hand out GPUs: install the NVIDIA Container Toolkit, or use --device cpu"
    elif "No such image" in text:
        hint = "the image was removed meanwhile: run the job again, and it is built again"
    elif UNSEEN in text:
        hint = f"the daemon does not see that file of this machine: {USE_LOCAL}; or use folders that it shares"
    elif "no space left" in text:
        hint = "see what Docker holds with `docker system df`"
    else:
        hint = "`docker info` and the daemon's log may say more"
    return EngineError(f"{what}: {text}", hint=hint, kind="no_gpu" if no_gpu else "engine")
