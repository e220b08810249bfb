#!/usr/bin/env bash
# Makes local stand-ins for the public base images, for machines that cannot pull any:
#
#   ci/make-bases.sh                                    rosetta-base/python:3.11-slim-bookworm
#   ci/make-bases.sh python:3.9-slim-bookworm python:3.6-slim debian:bullseye-slim
#   ROSETTA_BASE_PREFIX=rosetta-base rosetta images build
#
# Debian comes from debootstrap (needs root), Python from pyenv's own builds. An image that exists is left alone;
# `docker rmi` it to have it made again.
set -euo pipefail

prefix=rosetta-base
python_suite=bookworm  # whichever Debian a public python image is on: pyenv's builds need this one's libraries

# What pyenv's Pythons link against; the public python images carry the same.
python_needs="ca-certificates libbz2-1.0 libdb5.3 libexpat1 libffi8 libgdbm-compat4 libgdbm6 liblzma5 libncursesw6
    libnsl2 libreadline8 libsqlite3-0 libssl3 libtirpc3 libuuid1 zlib1g"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

die() { echo "make-bases: $*" >&2; exit 1; }

exists() { docker image inspect "$1" >/dev/null 2>&1; }

# The Debian mirrors this machine uses, as lines of a sources.list for SUITE; nothing on a machine that is no Debian.
# shellcheck disable=SC2016  # apt expands these, not the shell
debian_sources() {  # debian_sources SUITE
    local own
    own=$(. /etc/os-release && echo "${VERSION_CODENAME:-none}")
    apt-get indextargets 'Identifier: Packages' 'Origin: Debian' \
        --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        | grep -E " $own(-updates|-security)? " | sed -E "s| $own(-[a-z]+)? | $1\1 |" | sort -u || true
}

make_debian() {  # make_debian SUITE
    local suite=$1
    [[ $(id -u) == 0 ]] || die "debootstrap needs root: run this script with sudo"
    if ! command -v debootstrap >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap
    fi
    local root=$scratch/rootfs-$suite sources mirror
    sources=$(debian_sources "$suite")
    mirror=$(awk -v suite="$suite" '$3 == suite { print $2; exit }' <<<"$sources")
    debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$scratch/log" 2>&1 \
        || { tail -n 20 "$scratch/log" >&2; die "debootstrap failed"; }

    # Without a list of its own debootstrap has written one that names the mirror it used.
    [[ -z $sources ]] || echo "$sources" >"$root/etc/apt/sources.list"
    local proxies
    if proxies=$(apt-config dump | grep -iE '^Acquire::https?::Proxy'); then
        echo "$proxies" >"$root/etc/apt/apt.conf.d/80proxy"
    fi

    # Slim, as the public images are.
    cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'SLIM'
path-exclude /usr/share/doc/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
SLIM
    rm -rf "$root"/usr/share/{doc,info,locale,man}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
    tar -C "$root" -c . | docker import --change 'CMD ["bash"]' - "$prefix/debian:$suite-slim" >/dev/null
}

make_python() {  # make_python IMAGE X.Y
    local image=$1 version=$2 context=$scratch/context-$2 tree usr_local
    tree=$(pyenv root 2>/dev/null || echo "${PYENV_ROOT:-$HOME/.pyenv}")/versions
    [[ -d $tree ]] || die "pyenv provides Python $version, and it is not installed"
    tree=$(find "$tree" -maxdepth 1 -name "$version.*" | sort -V | tail -n 1)
    [[ -n $tree ]] || die "pyenv has no Python $version: pyenv install $version"

    usr_local=$context/usr/local
    mkdir -p "$usr_local/bin"
    # The interpreter, its library and headers, and nothing that was installed into it.
    tar -C "$tree" -c \
        --exclude=site-packages --exclude=__pycache__ --exclude='*.a' \
        --exclude="lib/python$version/test" --exclude="lib/python$version/idlelib" \
        include lib | tar -C "$usr_local" -x
    mkdir -p "$usr_local/lib/python$version/site-packages"
    cp -L "$tree/bin/python$version" "$usr_local/bin/"
    ln -s "python$version" "$usr_local/bin/python3"
    ln -s "python$version" "$usr_local/bin/python"
    # Builds of C extensions ask sysconfig where headers and library are.
    { grep -rlIF "$tree" "$usr_local" || true; } | xargs -r sed -i "s|$tree|/usr/local|g"

    # No BuildKit feature here: this must build with a client that has no buildx as well.
    cat >"$context/Dockerfile" <<DOCKERFILE
FROM $prefix/debian:$python_suite-slim
RUN apt-get update -qq \\
    && apt-get install -y -qq --no-install-recommends $(tr -s '\n ' ' ' <<<"$python_needs") \\
    && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY usr/ /usr/
ENV LANG=C.UTF-8
RUN ldconfig && python3 -m ensurepip --default-pip && python3 -m pip --version
CMD ["python3"]
DOCKERFILE
    docker build --tag "$image" "$context" >"$scratch/log" 2>&1 \
        || { tail -n 20 "$scratch/log" >&2; die "docker build failed"; }
}

make_base() {  # make_base NAME:TAG
    local image=$prefix/$1
    if exists "$image"; then
        echo "$image: exists"
        return
    fi
    local start=$SECONDS
    case $1 in
        debian:*-slim) make_debian "$(sed -E 's/^debian:(.*)-slim$/\1/' <<<"$1")" ;;
        python:3.*-slim*)
            exists "$prefix/debian:$python_suite-slim" || make_debian "$python_suite"
            make_python "$image" "$(sed -E 's/^python:(3\.[0-9]+)-.*/\1/' <<<"$1")"
            ;;
        *) die "cannot make $1: known are python:3.X-slim… and debian:SUITE-slim" ;;
    esac
    echo "$image: made in $((SECONDS - start)) s, $(docker image inspect --format '{{.Size}}' "$image" | numfmt --to=si)B"
}

for base in "${@:-python:3.11-slim-bookworm}"; do
    make_base "$base"
done
