"""A workload that speaks the protocol with nothing but the standard library, and misbehaves as its framework's name says."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

SEQUENCE = iter(range(10**9))


def emit(event, **fields):
    line = json.dumps(dict(event=event, seq=next(SEQUENCE), t=0.5, **fields))
    os.write(1, line.encode() + b"\n")


def refused(action):
    """The name of the error that `action` ends in, or "allowed"."""
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "allowed"


def connect():
    with socket.create_connection(("192.0.2.1", 80), timeout=2):
        pass


def write(path):
    existed = os.path.exists(path)
    with open(path, "a"):
        pass
    if not existed:
        os.remove(path)


with open(os.environ["BENCH_SPEC"]) as file:
    job = json.load(file)
behaviour = job["framework"]
emit(
    "start",
    protocol=1,
    framework=behaviour,
    workload=job["workload"],
    version="1",
    versions={},
    device=job["device"],
    device_name=None,
    precision=job["precision"],
    threads=len(os.sched_getaffinity(0)),
    fused=None,
    denormals="kept",
    notes=[],
)
emit("ready", load_s=0.0, build_s=0.0, compile_s=0.0)

if behaviour == "error":
    emit("error", kind="out_of_memory", type="CudaError", message="out of memory\nsecond line")
    sys.exit(1)
if behaviour == "crash":
    print("something went wrong in \x1b[31mlayer 3\x1b[0m", file=sys.stderr)
    sys.exit(3)
if behaviour == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if behaviour == "hang":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if behaviour == "endless":
    while True:
        emit("artifact", name="x.npy", dtype="f4", shape=[1], sha256="0" * 64)
if behaviour == "silent":
    sys.exit(0)
if behaviour == "chatty":
    os.write(1, b"loading \xff\xfe libraries ...\n\n")
    os.write(2, b"warning: \xf0\x9f")
    time.sleep(0.1)
    os.write(2, b"\x98\x80 is split\n")
    os.write(1, b"x" * 300000 + b"\n")
if behaviour == "torn":
    os.write(1, b'{"event":"end","se')
    sys.exit(0)
if behaviour == "flood":
    for _ in range(200):
        os.write(1, b"x" * (1 << 20))
if behaviour == "greedy":
    hoard = []
    for _ in range(64):
        hoard.append(b"x" * (64 << 20))
        time.sleep(0.05)
if behaviour == "fork":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
if behaviour == "slow":
    time.sleep(3)
if behaviour == "nosy":
    facts = {
        "uid": os.getuid(),
        "pid": os.getpid(),
        "home": os.environ["HOME"],
        "variable": os.environ.get("NOSY"),
        "secret": os.environ.get("ROSETTA_TEST_SECRET"),
        "network": refused(connect),
        "root": refused(lambda: write("/etc/x")),
        "workloads": refused(lambda: write("workloads/x")),
        "inputs": refused(lambda: write(os.path.join(os.environ["BENCH_INPUTS"], "weights.npz"))),
        "tmp": refused(lambda: write("/tmp/x")),
        "output": refused(lambda: write(os.path.join(os.environ["BENCH_OUTPUT"], "x"))),
        "listing": sorted(os.listdir(os.environ["BENCH_INPUTS"])),
        "capabilities": open("/proc/self/status").read().split("CapEff:")[1].split()[0],
        "cpus": sorted(os.sched_getaffinity(0)),
    }
    with open(os.path.join(os.environ["BENCH_OUTPUT"], "facts.json"), "w") as file:
        json.dump(facts, file)

samples = job["settings"]["batch"] * job["settings"]["batches"]
for event in ("cold", "inference"):
    emit(event, samples=samples, seconds=0.5, batch_seconds=[0.5])
emit("end")
