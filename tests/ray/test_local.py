"""A cluster of this machine, that a run starts for itself."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("ray")

from tests.support import engine_cases

SOURCE = """
import json, pathlib, sys
import psutil
from tests.support import engine_cases as cases

def children():
    return psutil.Process().children(recursive=True)

folder = pathlib.Path(sys.argv[1])
engine = cases.engine_called("ray", folder, "local", "process")
_, (result,) = cases.run_echo(engine, folder, "nice")
ours = children()
heard = set()
for process in ours:
    try:
        heard |= {each.laddr.ip.replace("::ffff:", "") for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    except psutil.Error:
        pass
engine.close()
gone, left = psutil.wait_procs(ours, timeout=10)
(log,) = (folder / "results").glob("*/nice-*.log")
print(json.dumps({"status": result.status, "log": log.read_text(), "heard": sorted(heard), "ours": len(ours),
                  "left": [process.cmdline() for process in left]}))
"""


def test_it_listens_here_only_and_is_gone_after_the_run(alone, cache, tmp_path):
    argv = [sys.executable, "-c", SOURCE, str(tmp_path)]
    done = subprocess.run(
        argv, cwd=engine_cases.ECHO.parent.parent, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["status"] == "ok"
    assert record["log"] == "niceness: 0\n"
    assert record["heard"] == ["127.0.0.1"]
    assert record["ours"] > 2
    assert record["left"] == []
