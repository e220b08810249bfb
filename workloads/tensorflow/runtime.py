"""Where a TensorFlow job runs: the device, its threads and precision, how to wait for it and how to compile ahead."""

import contextlib

import tensorflow as tf


def start(job, version=tf.__version__, versions=None, fused=None, notes=(), precisions=("fp32", "tf32")):
    """Set TensorFlow up for this job and announce it. Must come before TensorFlow's first operation.

    Raises NotImplementedError for a precision other than `precisions`, RuntimeError for a missing GPU."""
    if job.precision not in precisions:
        known = " or ".join(precisions)
        raise NotImplementedError("this workload runs in {}, the job asks for {}".format(known, job.precision))
    tf.random.set_seed(job.seed)
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    tf.config.experimental.enable_tensor_float_32_execution(job.precision == "tf32")
    versions = dict(versions or {})
    if job.device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    else:
        use_gpu()
        build = tf.sysconfig.get_build_info()
        versions.update({"cuda": build["cuda_version"], "cudnn": build["cudnn_version"]})
    job.start(version=version, versions=versions, fused=fused, notes=notes)


def use_gpu():
    """Take memory as it is needed, not all there is.

    TensorFlow itself would go on without one, on the CPU, and say nothing: that is a RuntimeError here."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise RuntimeError("TensorFlow finds no GPU: its driver or a CUDA library is missing, see the messages above")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


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
