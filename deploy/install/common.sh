# shellcheck shell=bash
# shellcheck disable=SC2034 # the names are for the other parts
# Names and words that all parts of install.sh share. Also read by the Debian package's scripts.

HOME_LINK=/opt/mask-kiosk
RELEASES=/opt/mask-kiosk-releases
SETTINGS=/etc/mask-kiosk/kiosk.toml
DEFAULTS=/etc/default/mask-kiosk
KEYS=/etc/mask-kiosk/keys
STATE=/var/lib/mask-kiosk
MODELS=/var/lib/mask-kiosk-models
UNIT=mask-kiosk.service
KIOSK_USER=mask-kiosk
# The release before the one in use.
PREVIOUS=$RELEASES/previous
# What the installation added to the system beyond its own files, for --uninstall.
ADDED=/etc/mask-kiosk/added
LOCK=/run/lock/mask-kiosk-install

# Files that go to fixed places: source in the tree, target. The unit comes with the release.
SYSTEM_FILES=(
  "systemd/sysusers.d/mask-kiosk.conf /etc/sysusers.d/mask-kiosk.conf"
  "systemd/tmpfiles.d/mask-kiosk.conf /etc/tmpfiles.d/mask-kiosk.conf"
  "systemd/udev/60-mask-kiosk.rules /etc/udev/rules.d/60-mask-kiosk.rules"
)
UNIT_FILE=/etc/systemd/system/$UNIT

# The Debian package's scripts set this: then these files are dpkg's, below /usr/lib, and the owner
# says whether the service starts at boot.
PACKAGED=''

# What of a checkout goes to the device.
SHIPPED=(
  CHANGELOG.md LICENSE README.md pyproject.toml docs edge_app systemd
  deploy/install deploy/install.sh deploy/kiosk.example.toml
  deploy/requirements-device.txt deploy/requirements-network.txt
)

say() { local word=$1; shift; printf '%-13s  %s\n' "$word" "$*"; }

refuse() { # nothing was changed yet
  printf 'install.sh: %s\n' "$*" >&2
  exit 2
}

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

# Whether systemd runs here. In a chroot, as when an image is built, it does not.
systemd_runs() { [[ -d /run/systemd/system ]]; }

# Write what comes in to a file, which appears whole or not at all.
put() { # TARGET MODE [GROUP]
  local new
  mkdir -p "$(dirname "$1")"
  new=$(dirname "$1")/.$(basename "$1").new
  cat >"$new"
  chown "root:${3:-root}" "$new"
  chmod "$2" "$new"
  mv -fT "$new" "$1"
}

# The files of a tree that go to the device, one a line, in a fixed order.
shipped_files() { # TREE
  (cd "$1" && find "${SHIPPED[@]}" -type f ! -path '*/__pycache__/*' ! -name '*.pyc' | sort)
}
