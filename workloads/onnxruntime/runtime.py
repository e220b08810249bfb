"""Where an ONNX Runtime job runs: its threads and precision."""

import onnx
import onnxruntime


def start(job, notes=()):
    """Announce this job and return the options of its session.

    Raises NotImplementedError for any precision but fp32."""
    if job.precision != "fp32":
        raise NotImplementedError("this workload computes in fp32, not in {}".format(job.precision))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = job.threads
    # Without this entry, making a session would end the flushing of denormal floats, in this thread too.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    job.start(version=onnxruntime.__version__, versions={"onnx": onnx.__version__}, notes=notes)
    return options


def synchronize():
    """Wait until the device has finished. ONNX Runtime returns when the result is there."""
