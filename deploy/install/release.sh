# shellcheck shell=bash
# shellcheck disable=SC2153 # other parts set RELEASES and PREVIOUS
# A release: one version of the application with its virtual environment, in a folder of its own
# below /opt/mask-kiosk-releases. /opt/mask-kiosk is a link to the one in use.

# Set by build_release: folder of the release of this tree.
RELEASE=

# Version, contents and Python: the same tree always gives the same name.
release_name() {
  local version contents python
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$TREE/pyproject.toml")
  contents=$(cd "$TREE" && shipped_files . | xargs -d '\n' sha256sum | sha256sum)
  python=$(/usr/bin/python3 -c 'import sys; print("py%d.%d" % sys.version_info[:2])')
  echo "$version-${contents:0:12}-$python"
}

# The release in use, and the one before it; empty: none.
current_release() { readlink "$HOME_LINK" || true; }
previous_release() { readlink "$PREVIOUS" || true; }

# Whether a release was built to its end. The mark in it is written last.
is_whole() { [[ -n $1 && -e $1/.whole && -x $1/.venv/bin/python ]]; }

# Whether it is still as it was built: nothing is damaged, missing, or was added, as by pip.
is_sound() { is_whole "$1" && release_sums "$1" | cmp -s - "$1/.sums"; }

# The sums of a release's files and of its environment's, without the marks and what Python makes again.
release_sums() { # RELEASE
  (cd "$1" && find . -type f ! -path '*/__pycache__/*' \
    ! -path ./.whole ! -path ./.healthy ! -path ./.sums ! -path ./.bundle \
    | LC_ALL=C sort | xargs -d '\n' sha256sum)
}

# A release that is not sound any more is built anew under a second name: the one in use stays until then.
build_release() { # OFFLINE
  local name current one
  name=$(release_name)
  current=$(current_release)
  RELEASE=$RELEASES/$name
  [[ $current != "$RELEASE-again" ]] || RELEASE=$current
  for one in "$RELEASE" "$RELEASES/$name" "$RELEASES/$name-again"; do
    if is_sound "$one"; then
      RELEASE=$one
      say "already there" "release $(basename "$RELEASE")"
      return
    fi
  done
  if is_whole "$RELEASE"; then say damaged "release $(basename "$RELEASE"): it is built anew"; fi
  if [[ $current == "$RELEASES/$name" ]]; then RELEASE=$current-again; else RELEASE=$RELEASES/$name; fi
  name=$(basename "$RELEASE")
  say building "release $name"
  discard "$RELEASE"
  mkdir -p "$RELEASE"
  (cd "$TREE" && shipped_files . | xargs -d '\n' cp --parents -t "$RELEASE")
  chmod -R u=rwX,go=rX "$RELEASE"
  build_environment "$1"
  "$RELEASE/.venv/bin/python" -m compileall -q "$RELEASE/edge_app"
  release_sums "$RELEASE" >"$RELEASE/.sums"
  # On the card before the mark is, so that a power cut cannot leave a mark on half a release.
  sync -f "$RELEASE"
  touch "$RELEASE/.whole"
  sync -f "$RELEASE"
  say installed "release $name"
}

# Debian's pip, as one file that Python runs; python3-venv needs it.
PIP_WHEEL='/usr/share/python-wheels/pip-*.whl'

# In its final place: a virtual environment cannot be moved.
build_environment() { # OFFLINE
  local source=() said pip
  [[ -z $1 ]] || source=(--no-index --find-links "$TREE/wheels")
  pip=$(compgen -G "$PIP_WHEEL" | tail -n 1) \
    || fail "Debian's pip is gone: sudo apt install --reinstall python3-pip-whl"
  # Without a pip of its own, which takes longer to install than all that the kiosk needs.
  /usr/bin/python3 -m venv --system-site-packages --without-pip "$RELEASE/.venv"
  # What it leaves behind when it is killed goes with the half release; and on "trixie" /tmp is memory.
  mkdir "$RELEASE/.tmp"
  said=$(TMPDIR=$RELEASE/.tmp "$RELEASE/.venv/bin/python" "$pip/pip" --disable-pip-version-check install --quiet \
    --no-input --no-cache-dir --retries 5 --require-hashes --only-binary :all: "${source[@]}" \
    -r "$TREE/deploy/requirements-device.txt" 2>&1) || {
    printf '%s\n' "$said" | tail -n 3 >&2
    fail "pip failed: is there a network? Run this again then, it goes on here"
  }
  rm -r "$RELEASE/.tmp"
}

# Make a release the one in use, at once. Its unit comes with it, first: a run that was cut between the
# two does it again.
switch_to() { # RELEASE
  local before
  before=$(current_release)
  if [[ $before != "$1" ]] && is_sound "$before"; then
    ln -sfnT "$before" "$RELEASES/.link"
    mv -fT "$RELEASES/.link" "$PREVIOUS"
  fi
  [[ $PACKAGED ]] || put "$UNIT_FILE" 644 <"$1/systemd/$UNIT"
  # One that does not start at boot yet is read when it is enabled, see take_into_use.
  if systemd_runs && starts_at_boot; then systemctl daemon-reload; fi
  ln -sfnT "$1" "$RELEASES/.link"
  mv -fT "$RELEASES/.link" "$HOME_LINK"
  sync -f "$RELEASES"
}

# The mark goes first: what a cut run left of a release must not pass for a whole one.
discard() { # RELEASE
  rm -f "$1/.whole"
  rm -rf "$1"
}

# Remove all releases but the one in use and the one before it.
remove_others() {
  local one current previous
  current=$(current_release)
  previous=$(previous_release)
  for one in "$RELEASES"/*-py*; do
    [[ $one == "$current" || $one == "$previous" ]] || discard "$one"
  done
}
