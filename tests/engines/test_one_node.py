"""What every job gets on the machine where it runs, whatever engine runs it there."""

import contextlib
import dataclasses
import threading
import time

import pytest

from orchestrator.engines.base import EngineError, Environment, Exit, Launch, Output
from orchestrator.engines.one_node import OneNode
from orchestrator.host.neighbours import Turns
from orchestrator.host.samples import ResourceUsage
from orchestrator.plan import jobs, spec
from tests.support import engine_cases, fake_nvml
from tests.support.machines import machine

PAUSE = 0.3  # seconds between the two outputs of a job


class Local:
    """A local engine whose job prints two lines."""

    name = "local"

    def __init__(self, broken=False):
        self.prepared = 0
        self.ended = False
        self._broken = broken

    def gpu_problem(self):
        return None

    def facts(self):
        return {"version": "1"}

    def prepare(self, image, variant):
        self.prepared += 1
        return Environment(handle=image.name, facts={})

    @contextlib.contextmanager
    def run(self, environment, launch):
        if self._broken:
            raise EngineError("it does not start")
        yield self
        self.ended = True

    def output(self):
        yield Output("stdout", b"one\n")
        yield None
        time.sleep(PAUSE)
        yield Output("stdout", b"two\n")

    def usage(self):
        return ResourceUsage(cpu_seconds=time.process_time(), memory=5, memory_peak=7, source="local")

    def pids(self):
        return set()

    def stop(self):
        pass

    exit = Exit(code=0)


def taken(engine, folder, *cards):
    here = OneNode(engine, cache=folder, host=machine(*cards))
    (node,) = here.nodes()
    return here.take(node, lambda: True)


def launch(folder, gpus=()):
    known = engine_cases.behaving(("good",))
    (job,) = jobs.plan(spec.Spec(name="t", frameworks=("good",), workloads=("resnet50",)), known, "cpu")
    job = job.model_copy(update={"gpus": gpus})
    return Launch(job=job, run="r", workloads=folder, inputs={}, spec=folder, cpus=(0,))


ANY = Environment(handle="", facts={})


def test_output_has_the_time_at_which_it_arrived_by_the_clock_of_the_samples(tmp_path):
    with taken(Local(), tmp_path).run(ANY, launch(tmp_path)) as execution:
        first, none, second = execution.output()
        assert execution.observations() is None  # they are known once the job has ended
    assert none is None
    assert (first.data, second.data) == (b"one\n", b"two\n")
    assert second.at - first.at >= PAUSE
    seen = execution.observations()
    assert first.at <= second.at <= seen.samples[-1].t
    assert seen.taken >= 2
    assert seen.around.usage_source == "local"
    assert execution.exit == Exit(code=0)


def test_observations_are_kept_of_a_job_that_is_broken_off(tmp_path):
    with pytest.raises(KeyboardInterrupt), taken(Local(), tmp_path).run(ANY, launch(tmp_path)) as execution:
        raise KeyboardInterrupt
    assert execution.observations().taken >= 1


def test_an_engine_that_cannot_start_a_job_says_so(tmp_path):
    with pytest.raises(EngineError, match="it does not start"), taken(Local(True), tmp_path).run(ANY, launch(tmp_path)):
        pass


def test_a_job_waits_for_its_turn_on_a_gpu_and_says_how_long(tmp_path, monkeypatch, caplog):
    (gpu,) = machine("H100").gpus
    fake_nvml.install(monkeypatch, fake_nvml.Card(), uuids=(gpu.uuid,))
    held, release = threading.Event(), threading.Event()

    def other():
        with Turns(tmp_path).on([gpu.uuid]):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(10)
    threading.Timer(PAUSE, release.set).start()
    with taken(Local(), tmp_path, "H100").run(ANY, launch(tmp_path, (gpu.uuid,))) as execution:
        assert execution.waited >= PAUSE / 2
    thread.join()
    assert [each for each in caplog.messages if each.startswith(f"waiting for the GPU {gpu.uuid}, in use by process ")]


def test_an_environment_is_prepared_once_however_often_the_machine_is_taken(tmp_path):
    engine = Local()
    here = OneNode(engine, cache=tmp_path, host=machine())
    (image,) = engine_cases.behaving(("good",)).images
    made = [here.take(node, lambda: True).prepare(image, "cpu") for node in [*here.nodes(), *here.nodes()]]
    assert made[0] == made[1]
    assert engine.prepared == 1


def test_a_node_of_this_machine_has_no_name_in_messages_and_no_gpu_that_its_engine_cannot_give(tmp_path):
    (node,) = OneNode(Local(), cache=tmp_path, host=machine("T4")).nodes()
    assert (node.local, node.lane, node.gpus, node.engine_facts) == (True, "", 1, {"version": "1"})
    assert dataclasses.replace(node, gpu_problem="no toolkit").gpus == 0
