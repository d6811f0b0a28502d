#!/usr/bin/env bash
# Writes every requirements*.txt anew from its .in file: `make lock`.
#
# Versions stay as they are unless the .in file asks for others; `make lock UPGRADE=NAME` takes the
# newest allowed version of one package. Each file holds the hashes of all files of a release, so
# one list serves both processors and every Python; that it does is tried for each of them.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}

resolve() { # NAME PYTHON PROCESSOR OUT
  # Ready-made wheels only: a source archive would run its own build program at installation.
  # A Raspberry Pi on "bookworm" has glibc 2.36, tflite-runtime's arm64 wheel needs 2.34.
  "$uv" pip compile --quiet --python-version "$2" --python-platform "$3-manylinux_2_36" \
    --only-binary :all: --emit-build-options --generate-hashes --no-emit-index-url \
    --custom-compile-command "make lock" ${UPGRADE:+--upgrade-package "$UPGRADE"} \
    ${FROM_APT:+--no-emit-package "$FROM_APT"} "$1.in" --output-file "$4"
}

pins() { grep -E '^[a-z0-9]|--hash' "$1"; }

lock() { # NAME PYTHONS...: in an order in which each file finds what its -c lines name
  local name=$1 python processor other
  shift
  resolve "$name" "$1" x86_64 "$name.txt"
  for python in "$@"; do
    for processor in x86_64 aarch64; do
      other=$(mktemp -d)/other.txt
      cp "$name.txt" "$other"
      UPGRADE='' resolve "$name" "$python" "$processor" "$other"
      diff <(pins "$name.txt") <(pins "$other") || {
        echo "$name.in: Python $python on $processor needs other packages than Python $1 on x86_64;" \
          "pin versions that suit both" >&2
        exit 1
      }
      rm -r "$(dirname "$other")"
    done
  done
  echo "$name.txt: $(grep -c '==' "$name.txt") packages, Python $*, x86-64 and arm64"
}

lock requirements-edge 3.11 3.12 3.13 3.14
lock requirements-train 3.11 3.12 3.13
lock deploy/requirements-network 3.11 3.12 3.13 3.14
FROM_APT=numpy lock deploy/requirements-device 3.11 3.13
lock deploy/requirements-tflite-runtime 3.11
lock deploy/update/requirements 3.11 3.12 3.13 3.14
lock tests/requirements 3.11 3.12 3.13 3.14
lock tests/requirements-check 3.11 3.12 3.13 3.14
lock tests/requirements-optional 3.11 3.12 3.13
lock docs/requirements 3.11 3.12 3.13
