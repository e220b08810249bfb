"""Where a TensorFlow job runs: the device, its threads and precision, how to wait for it and how to compile ahead."""

import contextlib

import tensorflow as tf


def start(job, version=tf.__version__, versions=None, fused=None, notes=()):
    """Set TensorFlow up for this job and announce it. Must come before TensorFlow's first operation.

    Raises NotImplementedError for a precision the workloads are not written in, RuntimeError for a missing GPU."""
    if job.precision not in ("fp32", "tf32"):
        raise NotImplementedError("this workload runs in fp32 or tf32, the job asks for {}".format(job.precision))
    tf.random.set_seed(job.seed)
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    tf.config.experimental.enable_tensor_float_32_execution(job.precision == "tf32")
    versions = dict(versions or {})
    device_name = None
    if job.device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    else:
        device_name = gpu_name()
        build = tf.sysconfig.get_build_info()
        versions.update({"cuda": build["cuda_version"], "cudnn": build["cudnn_version"]})
    job.start(version=version, versions=versions, device_name=device_name, fused=fused, notes=notes)


def gpu_name():
    """Name of the first GPU. TensorFlow itself would go on without one, on the CPU, and say nothing."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise RuntimeError("TensorFlow finds no GPU: its driver or a CUDA library is missing, see the messages above")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name")


def synchronize():
    """Wait until every device has finished all its work."""
    tf.test.experimental.sync_devices()


@contextlib.contextmanager
def unchanged(variables):
    """Put `variables` back afterwards.

    Tracing a tf.function is not all of its compilation: the graph is optimised and XLA runs at the first call."""
    values = [variable.numpy() for variable in variables]
    yield
    for variable, value in zip(variables, values):
        variable.assign(value)
