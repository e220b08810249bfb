"""A workload that speaks the protocol with nothing but the standard library, and misbehaves as its framework's name says."""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

SEQUENCE = iter(range(10**9))


def emit(event, **fields):
    line = json.dumps(dict({"t": 0.5}, event=event, seq=next(SEQUENCE), **fields))
    os.write(1, line.encode() + b"\n")


def announce(name, data, size=None):
    """Say that `data`, as an array of bytes, is an artifact."""
    shape = [len(data) if size is None else size]
    emit("artifact", name=name, dtype="uint8", shape=shape, sha256=hashlib.sha256(data).hexdigest())


def send(data):
    """Send bytes of the artifact that was announced."""
    os.write(1, b'{"part":"' + base64.b64encode(data) + b'"}\n')


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
seen = {}
if job["device"] == "gpu":
    print("visible:", os.environ.get("CUDA_VISIBLE_DEVICES"), file=sys.stderr)
    del os.environ["BENCH_SPEC"]  # with it, the next import would claim stdout
    from workloads.common import cuda  # the test of GPUs puts it beside this workload

    seen["gpus"] = cuda.visible_gpus()
emit(
    "start",
    protocol=2,
    framework=behaviour,
    workload=job["workload"],
    version="1",
    versions={},
    device=job["device"],
    device_name=None,
    **seen,
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
if behaviour == "where":
    print("code:", os.path.realpath(__file__), file=sys.stderr)
    for folder, _, names in os.walk(os.environ["BENCH_INPUTS"]):
        for name in names:
            print("input:", os.path.realpath(os.path.join(folder, name)), file=sys.stderr)
if behaviour == "nice":
    print("niceness:", os.nice(0), file=sys.stderr)
if behaviour == "hang":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if behaviour == "endless":
    for number in range(10**9):
        announce(f"{number}.npy", b"")
if behaviour == "bomb":
    os.write(1, b'{"event":' + b"[" * 500000 + b"\n")
if behaviour == "nan":
    os.write(1, b'{"event":"cold","seq":2,"t":1.0,"samples":6,"seconds":NaN,"batch_seconds":[1.0]}\n')
if behaviour == "infinite":
    os.write(1, b'{"event":"cold","seq":2,"t":1.0,"samples":6,"seconds":1e999,"batch_seconds":[1.0]}\n')
if behaviour == "negative":
    emit("cold", samples=6, seconds=-1.0, batch_seconds=[0.5])
if behaviour == "huge":
    os.write(1, b'{"event":"cold","seq":2,"t":1.0,"samples":' + b"9" * 5000 + b"}\n")
if behaviour == "garbled":
    os.write(1, b'{"event":"cold","seq":2,"t":1.0,"name":"\xff\xfe"}\n')
if behaviour == "unordered":
    emit("inference", samples=6, seconds=0.5, batch_seconds=[0.5])
if behaviour == "gap":
    next(SEQUENCE)
if behaviour == "closed":
    os.close(1)
    time.sleep(600)
if behaviour == "forks":
    # Every child forks again as soon as it runs; limits stop it, or the time limit does.
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
if behaviour == "tmp":
    with open("/tmp/big", "ab") as file:
        while True:
            file.write(b"x" * (1 << 20))
if behaviour == "litter":  # links out, a folder that is locked, and one that is very deep
    os.symlink("/", os.path.join(os.environ["HOME"], "root"))
    os.symlink(os.environ["BENCH_INPUTS"], os.path.join(os.environ["HOME"], "inputs"))
    os.mkdir(os.path.join(os.environ["HOME"], "locked"), 0)
    os.chdir(os.environ["HOME"])
    for _ in range(1000):
        os.mkdir("d" * 100)
        os.chdir("d" * 100)
    os.chdir("/")
if behaviour == "large":
    announce("large.npy", b"", size=65 << 20)
if behaviour == "cut":
    announce("cut.npy", b"four")
    send(b"two")
if behaviour == "stray":
    send(b"part")
if behaviour == "longer":
    announce("longer.npy", b"four")
    send(b"fifth")
if behaviour == "other":
    announce("other.npy", b"four")
    send(b"FOUR")
if behaviour == "again":
    for _ in range(2):
        announce("again.npy", b"four")
        send(b"four")
if behaviour == "base64":
    announce("base64.npy", b"four")
    os.write(1, b'{"part":"?!"}\n')
if behaviour == "outside":
    announce("../outside.npy", b"")
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
        print("more", file=sys.stderr, flush=True)  # a reader that checks only in pauses never does
        time.sleep(0.05)
if behaviour == "fork":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
if behaviour == "busy":
    hoard, began = bytearray(b"x") * (200 << 20), time.monotonic()
    while time.process_time() < 1.5 or time.monotonic() < began + 1.5:
        pass
if behaviour == "ticking":
    for number in range(100):
        announce(f"{number}.npy", b"")
        time.sleep(0.1)
if behaviour == "clock":
    for _ in range(50):
        print(time.time(), file=sys.stderr, flush=True)
        time.sleep(0.1)
if behaviour == "slow":
    time.sleep(3)
if behaviour == "nosy":
    facts = {
        "uid": os.getuid(),
        "pid": os.getpid(),
        "home": os.environ["HOME"],
        "variable": os.environ.get("NOSY"),
        "secret": os.environ.get("ROSETTA_TEST_SECRET"),
        "proxies": [name for name in os.environ if "proxy" in name.lower()],
        "network": refused(connect),
        "root": refused(lambda: write("/etc/x")),
        "workloads": refused(lambda: write("workloads/x")),
        "inputs": refused(lambda: write(os.path.join(os.environ["BENCH_INPUTS"], "weights.npz"))),
        "tmp": refused(lambda: write("/tmp/x")),
        "files": sorted(os.listdir("workloads")),
        "listing": sorted(os.listdir(os.environ["BENCH_INPUTS"])),
        "capabilities": open("/proc/self/status").read().split("CapEff:")[1].split()[0],
        "cpus": sorted(os.sched_getaffinity(0)),
    }
    announce("facts.npy", json.dumps(facts).encode())
    send(json.dumps(facts).encode())

samples = job["settings"]["batch"] * job["settings"]["batches"]
seconds = {"century": 1e9, "instant": 1e-9}.get(behaviour, 0.5)
t = {"backwards": 0.0, "ahead": 1e9}.get(behaviour, 0.5)
for event in ("cold", "inference"):
    if behaviour == "partial":
        time.sleep(4)
    emit(event, samples=samples, seconds=seconds, batch_seconds=[seconds], t=t)
emit("end")
if behaviour == "twice":
    emit("end")
if behaviour == "late":
    print("one more thing", flush=True)
    emit("ready", load_s=0.0, build_s=0.0, compile_s=0.0)
