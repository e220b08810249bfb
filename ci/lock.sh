#!/usr/bin/env bash
# Writes every lock file of this checkout, with a sha256 for each file pip may install:
#   requirements.txt, requirements-dev.txt     the host side, from pyproject.toml, any platform
#   images/<image>/requirements-<variant>.txt  from the .in file beside it, for Linux x86-64
#
#   ci/lock.sh                 add or remove what the .in files ask for, leave all other versions alone
#   ci/lock.sh --upgrade       move everything to its newest release
#   ci/lock.sh IMAGE           only those of one image
#
# A pin with a local version (name==1.0+cpu) is in no public index; it is looked for where pip would look too:
# PIP_FIND_LINKS and PIP_EXTRA_INDEX_URL.
set -euo pipefail
cd "$(dirname "$0")/.."

image=
if [[ ${1:-} && $1 != -* ]]; then
    image=$1
    shift
    [[ -d images/$image ]] || { echo "lock: there is no images/$image" >&2; exit 1; }
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! command -v uv >/dev/null; then
    python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install --quiet uv
    PATH="$scratch/venv/bin:$PATH"
fi

[[ -z "${PIP_INDEX_URL:-}" ]] || export UV_DEFAULT_INDEX="$PIP_INDEX_URL"

lock() {  # lock OUTPUT INPUT [uv option]...; existing pins in OUTPUT are kept unless --upgrade is given
    echo "$1"
    uv pip compile --quiet --generate-hashes --no-header --output-file "$@"
}

label() {  # label NAME DOCKERFILE: the value of a LABEL
    sed -n "s/.*\b${1//./\\.}=\"\([^\"]*\)\".*/\1/p" "$2"
}

if [[ -z $image ]]; then
    lock requirements.txt pyproject.toml --group build --universal --python-version 3.10 "$@"
    lock requirements-dev.txt pyproject.toml --group build --extra dev --universal --python-version 3.10 \
        --constraint requirements.txt "$@"
fi

# Chainer is published as source, and what its setup.py needs was last in setuptools 80.
echo 'setuptools<81' >"$scratch/build"
export UV_BUILD_CONSTRAINT="$scratch/build"

for input in images/${image:-*}/requirements-*.in; do
    python=$(label rosetta.python "$(dirname "$input")/Dockerfile")
    options=(--python-version "$python" --python-platform x86_64-manylinux_2_28 "$@")
    if grep -q '==.*+' "$input"; then
        # uv reads its own variables, not pip's, and by default takes a package from one index alone.
        UV_FIND_LINKS="${PIP_FIND_LINKS:-}" UV_EXTRA_INDEX_URL="${PIP_EXTRA_INDEX_URL:-}" \
            UV_INDEX_STRATEGY=unsafe-best-match lock "${input%.in}.txt" "$input" "${options[@]}"
    else
        lock "${input%.in}.txt" "$input" "${options[@]}"
    fi
done
