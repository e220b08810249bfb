"""What Theano's convolutions need of its image."""

import subprocess

import pytest

from tests.support import checks, docker_images

CHECK = checks.frameworks("theano threads", "tests/docker/test_theano.py", "lasagne")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]

# As a convolution does: it tells BLAS to use one thread, then starts threads of OpenMP.
THREADS = """
#include <cstdio>
#include <omp.h>
extern "C" void openblas_set_num_threads(int);
int main() {
    int threads = 0;
    openblas_set_num_threads(1);
    #pragma omp parallel
    #pragma omp atomic
    threads++;
    std::printf("%d", threads);
}
"""


def test_a_blas_on_one_thread_leaves_openmp_all_of_them(docker_engine):
    script = "cat > /tmp/t.cpp && g++ -fopenmp /tmp/t.cpp -lopenblas -o /tmp/t && /tmp/t"
    tag = docker_images.for_cpus("lasagne")
    argv = ["docker", "run", "--rm", "--interactive", "--network=none", "--env=OMP_NUM_THREADS=2", tag]
    done = subprocess.run([*argv, "sh", "-c", script], input=THREADS, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("2", "")
