"""Where a JAX job runs: the device, its precision and its compiler.

A model is a function of its parameters here, and those are a plain dictionary of arrays. On a CPU, XLA starts as many
threads as this process may use CPUs, which is job.threads, and flushes denormals in all of them.
"""

import os

import jax
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def start(
    job,
    *,
    version=jax.__version__,
    versions=None,
    fused=None,
    notes=(),
    xla_flags="",
    precisions=("fp32", "tf32"),
):
    """Set JAX up for this job, with XLA's flags (see its --help), and announce it. Must come before JAX's first array.

    Raises NotImplementedError for a precision other than `precisions`, RuntimeError for a missing GPU."""
    if job.precision not in precisions:
        known = " or ".join(precisions)
        raise NotImplementedError("this workload computes in {}, the job asks for {}".format(known, job.precision))
    os.environ["XLA_FLAGS"] = xla_flags
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # take memory as it is needed, not three quarters of all
    if job.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", job.ranks)
    # On a GPU, JAX's own default for float32 is TF32.
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if job.precision == "tf32" else "highest")
    device = jax.devices(job.device)[0]  # JAX itself would go on without a GPU; asked for one, it complains
    versions = dict(versions or {"optax": optax.__version__}, jaxlib=jax.lib.__version__)
    if job.device == "gpu":
        versions["xla"] = device.client.platform_version
    job.start(version=version, versions=versions, fused=fused, notes=notes)


def on_all(job, tree):
    """`tree` in the memory of every device of the job."""
    return jax.device_put(tree, _sharding(job)) if job.ranks > 1 else jax.device_put(tree)


def split(job, batch):
    """A NumPy batch of which each device of the job gets an equal part. With one device, the batch as it is."""
    return jax.device_put(batch, _sharding(job, "ranks")) if job.ranks > 1 else batch


def _sharding(job, *axes):
    """How an array lies on the devices of the job: its first axes divided among those called `axes`."""
    return NamedSharding(Mesh(jax.devices(job.device)[: job.ranks], ["ranks"]), PartitionSpec(*axes))


def compiled(job, function, *arguments, donate=()):
    """`function`, compiled ahead for arguments of these shapes; it may reuse the memory of those named in `donate`.

    With several devices each computes its part of a batch, and all get what the function returns."""
    whole = {"out_shardings": _sharding(job)} if job.ranks > 1 else {}
    with job.compiling():
        return jax.jit(function, donate_argnums=donate, **whole).lower(*arguments).compile()
