"""What a daemon says when it cannot give a container its GPU, played by a daemon that has none."""

import pytest

from orchestrator.engines.docker import engine, images
from tests.support import engine_cases, fake_docker
from tests.support.machines import machine


@pytest.mark.parametrize(
    "words",
    [
        "Unknown runtime specified nvidia",
        "unknown or invalid runtime name: nvidia",
        "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=0",
        'could not select device driver "" with capabilities: [[gpu]]',
        'could not select device driver "cdi" with capabilities: []',
    ],
)
def test_a_job_that_gets_no_gpu_fails_with_the_remedy(tmp_path, monkeypatch, words):
    project = engine_cases.gpu_project(tmp_path)
    (image,) = engine_cases.behaving(["good"], project).images
    with fake_docker.serving() as daemon:
        daemon.images = {images.tag(image, "cuda"): {}}
        daemon.info = {**fake_docker.INFO, "Runtimes": {"runc": {}, "nvidia": {}}}
        daemon.refusal = (400, {"message": words})
        monkeypatch.setenv("DOCKER_HOST", daemon.endpoint)
        gpus = machine("H100").gpus
        _, (result,) = engine_cases.run_echo(engine.connect(), tmp_path, "good", root=project, gpus=gpus)
    assert (result.status, result.failure.kind) == ("failed", "no_gpu")
    assert words in result.failure.message
    assert "NVIDIA Container Toolkit" in result.failure.hint
