"""Fill .gpu/ with what `tests.gpu.day` needs on a machine without a network."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of x86-64 Linux, from new to old: pip takes the first that a package has.
PLATFORMS = [f"manylinux{version}_x86_64" for version in ("_2_28", "_2_27", "_2_17", "2014", "1")]


def requirements(without: list[str]) -> list[str]:
    """The pins of requirements.txt with their markers, but for packages that the other machine has."""
    text = (ROOT / "requirements.txt").read_text()
    pins = re.findall(r"^([a-z0-9-]+)(==[^\\\n]+?) *\\$", text, re.MULTILINE)
    return [name + pin for name, pin in pins if name not in without]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.prepare", description=__doc__)
    parser.add_argument("--python", required=True, metavar="VERSION", help="the other machine's Python: 3.12")
    parser.add_argument("--without", nargs="*", default=[], metavar="PACKAGE", help="packages that it has")
    parser.add_argument("--also", nargs="*", default=[], metavar="PIN", help="more that it lacks: optax==0.2.8")
    parser.add_argument("--data", type=Path, metavar="DIR", help="datasets, named as `rosetta data import` names them")
    options = parser.parse_args()
    folder = ROOT / ".gpu"
    shutil.rmtree(folder, ignore_errors=True)
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    (folder / "requirements.txt").write_text("\n".join(requirements(options.without) + options.also) + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation=cp", f"--python-version={options.python}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    subprocess.run([*command, f"--dest={wheels}", f"--requirement={folder / 'requirements.txt'}"], check=True)
    if options.data:
        shutil.copytree(options.data, folder / "data")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
