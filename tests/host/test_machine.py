"""What NVML reports about a machine, field by field: a missing answer is None, and a missing GPU is no error."""

from types import SimpleNamespace

import pynvml
import pytest

from orchestrator.host import machine
from orchestrator.host.machine import Gpu
from tests.support import fake_nvml

REQUIRED = {
    "nvmlInit": lambda: None,
    "nvmlShutdown": lambda: None,
    "nvmlSystemGetDriverVersion": lambda: b"550.54.15",
    "nvmlDeviceGetCount": lambda: 1,
    "nvmlDeviceGetHandleByIndex": lambda index: index,
    "nvmlDeviceGetName": lambda handle: "NVIDIA H100",
    "nvmlDeviceGetUUID": lambda handle: b"GPU-1",
    "nvmlDeviceGetCudaComputeCapability": lambda handle: (9, 0),
}
OPTIONAL = {
    "nvmlSystemGetCudaDriverVersion_v2": lambda: 12040,
    "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=1 << 36),
    "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 700_000,
    "nvmlDeviceGetEccMode": lambda handle: [1, 0],
    "nvmlDeviceGetPersistenceMode": lambda handle: 0,
    "nvmlDeviceGetMigMode": lambda handle: [0, 1],
}
WHOLE = Gpu(
    index=0, name="NVIDIA H100", uuid="GPU-1", memory=1 << 36, capability="9.0",
    power_limit=700.0, ecc=True, persistence=False, mig=False,
)  # fmt: skip
FIELDS = {
    "nvmlDeviceGetMemoryInfo": "memory",
    "nvmlDeviceGetEnforcedPowerLimit": "power_limit",
    "nvmlDeviceGetEccMode": "ecc",
    "nvmlDeviceGetPersistenceMode": "persistence",
    "nvmlDeviceGetMigMode": "mig",
}


@pytest.fixture
def nvml(monkeypatch):
    """Replaces functions of pynvml; those named raise an error of this text."""

    def install(*broken, error="NVMLError", says="Not Supported", **answers):
        class Refusal(getattr(pynvml, error)):
            def __new__(cls, *arguments):
                return Exception.__new__(cls)

            def __str__(self):
                return says

        def refuse(*arguments):
            raise Refusal

        fake_nvml.replace(monkeypatch, {**REQUIRED, **OPTIONAL, **answers, **dict.fromkeys(broken, refuse)})

    return install


def test_a_gpu_that_tells_all(nvml):
    nvml()
    found = machine.inspect()
    assert (found.driver, found.cuda, found.gpus, found.driver_problem) == ("550.54.15", "12.4", (WHOLE,), None)


@pytest.mark.parametrize(("question", "field"), FIELDS.items())
def test_a_question_without_answer_costs_one_field(nvml, question, field):
    nvml(question, error="NVMLError_NotSupported")
    (gpu,) = machine.inspect().gpus
    assert getattr(gpu, field) is None
    assert {name: getattr(gpu, name) for name in FIELDS.values() if name != field} == {
        name: getattr(WHOLE, name) for name in FIELDS.values() if name != field
    }


def test_a_gpu_that_answers_no_optional_question_is_a_gpu(nvml):
    nvml(*OPTIONAL)
    found = machine.inspect()
    assert found.gpus == (Gpu(index=0, name="NVIDIA H100", uuid="GPU-1", memory=None, capability="9.0"),)
    assert (found.driver, found.cuda) == ("550.54.15", None)
    assert "1 x NVIDIA H100" in found.title()


@pytest.mark.parametrize("error", ["NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded"])
def test_no_driver_is_no_problem(nvml, error):
    nvml("nvmlInit", error=error)
    found = machine.inspect()
    assert (found.driver, found.gpus, found.cuda, found.driver_problem) == (None, (), None, None)


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetCudaComputeCapability"])
def test_a_broken_driver_says_so_and_offers_no_gpu(nvml, broken):
    nvml(broken, says="Driver/library version mismatch")
    found = machine.inspect()
    assert (found.driver, found.gpus) == (None, ())
    assert found.driver_problem == "Driver/library version mismatch"


@pytest.mark.parametrize(("number", "version"), [(12040, "12.4"), (11080, "11.8"), (13000, "13.0"), (10020, "10.2")])
def test_cudas_number_is_a_version(nvml, number, version):
    nvml(nvmlSystemGetCudaDriverVersion_v2=lambda: number)
    assert machine.inspect().cuda == version


TWO = (
    Gpu(index=0, name="A", uuid="GPU-aa11", memory=1, capability="9.0"),
    Gpu(index=1, name="B", uuid="GPU-aa22", memory=1, capability="9.0"),
)


@pytest.mark.parametrize(
    ("visible_devices", "left"),
    [
        (None, (0, 1)),
        ("", ()),
        ("1", (1,)),
        ("1,0", (1, 0)),
        ("GPU-aa2", (1,)),
        ("GPU-aa", ()),  # which of the two?
        ("1,7,0", (1,)),  # CUDA stops at the first it does not know
        ("0,0", (0,)),
        ("-1,0", ()),
    ],
)
def test_a_batch_system_may_leave_some_gpus_only(visible_devices, left):
    assert machine.visible(TWO, visible_devices) == tuple(TWO[index] for index in left)


@pytest.mark.parametrize(("name", "index"), [("0", 0), ("1", 1), ("gpu-AA11", 0), ("2", None), ("", None), ("²", None)])
def test_a_gpu_is_found_by_index_or_uuid(name, index):
    assert machine.find_gpu(TWO, name) == (None if index is None else TWO[index])


def test_the_machine_has_an_id_that_does_not_tell_its_secret(tmp_path):
    ids = []
    for secret in ("5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e\n", "ba5eba11ba5eba11ba5eba11ba5eba11\n"):
        (tmp_path / "machine-id").write_text(secret)
        ids.append(machine.machine_id(tmp_path / "machine-id"))
        assert ids[-1] == machine.machine_id(tmp_path / "machine-id")
        assert secret.strip() not in ids[-1]
    assert ids[0] != ids[1]
    (tmp_path / "machine-id").write_text("")
    assert machine.machine_id(tmp_path / "machine-id") is None
    assert machine.machine_id(tmp_path / "absent") is None
