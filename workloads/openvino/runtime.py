"""Where an OpenVINO job runs: its threads and precision."""

import openvino as ov
from openvino import properties
from openvino.properties import hint


def start(job, notes=()):
    """Announce this job and return how a model is to be compiled for it.

    Raises NotImplementedError for any precision but fp32."""
    if job.precision != "fp32":
        raise NotImplementedError("this workload computes in fp32, not in {}".format(job.precision))
    job.start(version=ov.__version__.partition("-")[0], notes=notes)
    return {
        hint.inference_precision: ov.Type.f32,  # by default bfloat16 on CPUs that have it
        hint.performance_mode: hint.PerformanceMode.LATENCY,  # all threads work on one batch
        properties.inference_num_threads: job.threads,
        hint.enable_hyper_threading: True,  # else one thread for each core, where the job may have two CPUs of it
    }


def synchronize():
    """Wait until the device has finished. OpenVINO returns when the result is there."""
