#!/usr/bin/env bash
# Makes the offline bundle: `make bundle`, or `make bundle ARCH=x86_64`. It holds the application with its
# models, and the wheels of deploy/requirements-device.txt for the Pythons of both Debians.
#
#     build/dist/mask-kiosk-VERSION-offline-arm64.tar.gz
#
# The same commit gives the same bytes: names are sorted, times are that of the commit, and every
# wheel is the one whose hash stands in the requirements.
set -euo pipefail
umask 022
export LC_ALL=C
cd "$(dirname "$0")/../.."
PIP=${PIP:-.venv/bin/python -m pip}
PYTHONS=(3.11 3.13)

fail() {
  echo "bundle: $*" >&2
  exit "${CODE:-1}"
}

case ${1:-arm64} in
  arm64 | aarch64) name=arm64 debian=arm64 machine=aarch64 ;;
  x86_64 | amd64) name=x86_64 debian=amd64 machine=x86_64 ;;
  *) CODE=2 fail "ARCH=$1 is not known; there are arm64 and x86_64" ;;
esac

# shellcheck source=../install/common.sh
. deploy/install/common.sh

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
bundle=mask-kiosk-$version-offline-$name
stage=build/bundle/$bundle
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null)} \
  || fail "not a git checkout: set SOURCE_DATE_EPOCH, the time that files in the bundle get"

rm -rf "$stage"
mkdir -p "$stage/wheels" build/dist
shipped_files . | xargs -d '\n' cp --parents -t "$stage"

# bookworm has glibc 2.36, trixie a newer one. "any" is always allowed.
platforms=()
for tag in manylinux2014 manylinux_2_17 manylinux_2_27 manylinux_2_28 manylinux_2_34; do
  platforms+=(--platform "${tag}_$machine")
done
for python in "${PYTHONS[@]}"; do
  # numpy is missing in the list on purpose (it is Debian's), so nothing may be resolved here.
  $PIP --disable-pip-version-check download --quiet --no-deps --require-hashes \
    --only-binary :all: --implementation cp --python-version "$python" "${platforms[@]}" \
    --dest "$stage/wheels" -r deploy/requirements-device.txt \
    || fail "pip could not fetch the wheels for Python $python on $machine: is there a network?"
done
printf '%s\n' "${PYTHONS[@]}" >"$stage/wheels/PYTHONS"
echo "$debian" >"$stage/wheels/ARCHITECTURE"

cat >"$stage/install.sh" <<'END'
#!/bin/sh
# Installs the kiosk from this folder, without network: sudo ./install.sh
exec "$(dirname "$0")/deploy/install.sh" --offline "$@"
END
find "$stage" -type d -exec chmod 755 {} +
find "$stage" -type f -exec chmod 644 {} +
chmod 755 "$stage/install.sh" "$stage/deploy/install.sh"
(cd "$stage" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs -d '\n' sha256sum) \
  >"$stage.sums"
mv "$stage.sums" "$stage/SHA256SUMS"

out=build/dist/$bundle.tar.gz
tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --format=gnu \
  -C build/bundle -cf - "$bundle" | gzip -9 -n >"$out.new"
mv "$out.new" "$out"
echo "$out: $(($(stat -c %s "$out") / 1000000)) MB, sha256 $(sha256sum "$out" | cut -d' ' -f1)"
