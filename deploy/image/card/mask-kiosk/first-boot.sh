#!/bin/sh
# Installs the kiosk from this card. Run by root at each boot (mask-kiosk-first-boot.service, made
# by hook.sh) until it has succeeded, at most $ATTEMPTS times for the same files.
#
# The power may fail at any moment: every step can be done again, and the next boot does. What came
# of it stands in RESULT.txt beside this file, in one line; more in /var/log/mask-kiosk-first-boot.log.
set -u
umask 022

ATTEMPTS=5
WAIT_S=${MASK_KIOSK_WAIT_S:-600} # for the network, and for cloud-init
root=${MASK_KIOSK_ROOT:-}        # another root than /: tests

card=$(cd "$(dirname "$0")" && pwd)
state=$root/var/lib/mask-kiosk-first-boot
work=$state/work # root's alone, unlike /var/tmp
log=$root/var/log/mask-kiosk-first-boot.log
etc=$root/etc/mask-kiosk
units=$root/etc/systemd/system

put() { # FILE: standard input becomes its content, all of it or nothing
  cat >"$1.new" && sync && mv "$1.new" "$1" && sync
}

say() { printf '%s %s\n' "$(date '+%F %T')" "$*" >>"$log"; }

result() { # LINE: for people, who read it on any computer
  say "$1"
  printf '%s\n' "$1" | put "$card/RESULT.txt"
  : | put "$state/told"
}

fail() { # WHAT-AND-WHAT-TO-DO
  printf '%s\n' "$1" | put "$state/last"
  say "$1"
  tail -n 60 "$log" | put "$card/install.log"
  result "NOT INSTALLED (attempt $attempt of $ATTEMPTS): $1"
  exit 1
}

# Which files this is about: with other ones on the card the attempts are counted from 1 again.
fingerprint() { cat "$card/SHA256SUMS" "$card/kiosk.toml" 2>/dev/null | sha256sum | cut -c 1-64; }

count_attempt() {
  attempt=0
  if [ "$(cat "$state/files" 2>/dev/null)" = "$files" ]; then
    attempt=$(cat "$state/attempt" 2>/dev/null) || attempt=0
  fi
  # Whoever deletes RESULT.txt wants another try.
  if [ -e "$state/told" ] && [ ! -e "$card/RESULT.txt" ]; then attempt=0; fi
  case $attempt in '' | *[!0-9]*) attempt=0 ;; esac
  if [ "$attempt" -ge "$ATTEMPTS" ]; then
    result "GAVE UP after $ATTEMPTS attempts: $(cat "$state/last" 2>/dev/null || echo "each was cut off") To try again, delete this file and power the box."
    exit 0
  fi
  attempt=$((attempt + 1))
  printf '%s\n' "$attempt" | put "$state/attempt"
  printf '%s\n' "$files" | put "$state/files"
}

unpack() {
  set -- "$card"/mask-kiosk-*-offline-*.tar.gz
  if [ $# -ne 1 ] || [ ! -f "$1" ]; then
    fail "there must be one file mask-kiosk-VERSION-offline-arm64.tar.gz in the folder mask-kiosk. Copy it there and power the box."
  fi
  (cd "$card" && sha256sum --quiet --check SHA256SUMS) >>"$log" 2>&1 ||
    fail "a file in the folder mask-kiosk is damaged or missing. Copy the folder again and power the box."
  rm -rf "$work"
  mkdir -p "$work"
  tar -xzf "$1" -C "$work" >>"$log" 2>&1 ||
    fail "the bundle cannot be unpacked: $(tail -n 1 "$log"). Is the SD card full?"
  settings=$(find "$work" -maxdepth 3 -path '*/edge_app/settings.py' | head -n 1)
  application=${settings%/edge_app/settings.py}
  if [ -z "$settings" ] || [ ! -f "$application/deploy/install.sh" ]; then
    fail "the bundle has no edge_app or no deploy/install.sh. Copy a whole one and power the box."
  fi
}

# One step of install.sh by itself.
step() { # NAME ARGUMENTS...
  bash -euo pipefail -c 'TREE=$1; export LC_ALL=C; cd "$TREE/deploy/install"
    . ./common.sh; . ./refuse.sh; . ./system.sh; shift; "$@"' step "$application" "$@" >>"$log" 2>&1
}

check_settings_py() { PYTHONPATH=$application python3 -BP "$card/check_settings.py" "$@"; }

# Before anything is changed. A kiosk with wrong pins must not be switched on at all.
check_settings() {
  if [ ! -e "$card/kiosk.toml" ]; then
    # Windows hides the end of a name, and Notepad adds one.
    [ ! -e "$card/kiosk.toml.txt" ] || fail "kiosk.toml is named kiosk.toml.txt. Rename it and power the box."
    return 0
  fi
  mistake=$(check_settings_py "$card/kiosk.toml" 2>&1) ||
    fail "$(printf '%s' "${mistake:-kiosk.toml: python3 cannot look at it}" | tail -n 1). Correct kiosk.toml on this card and power the box."
}

wait_for_system() {
  # It sets up users and the network, and may install packages itself.
  if command -v cloud-init >/dev/null; then
    timeout "$WAIT_S" cloud-init status --wait >>"$log" 2>&1 || say "cloud-init: status $?"
  fi
}

# Debian's packages are the only thing that is fetched; where they are there, no network is needed.
get_packages() {
  waited=0
  until step install_packages ""; do
    [ "$waited" -lt "$WAIT_S" ] ||
      fail "Debian packages could not be fetched for $((WAIT_S / 60)) minutes ($(tail -n 1 "$log")). Plug in a network cable, or write the card again with the right Wi-Fi name and password, and power the box."
    sleep 15
    waited=$((waited + 15))
  done
}

place() { # FILE TARGET OPTIONS-OF-install...
  from=$1 to=$2
  shift 2
  if ! { install "$@" "$from" "$etc/.new" && sync && mv "$etc/.new" "$to"; } >>"$log" 2>&1; then
    fail "$(basename "$to") cannot be copied to /etc/mask-kiosk: $(tail -n 1 "$log")"
  fi
}

# Settings and secrets leave the card: everybody who holds it can read them there.
take_settings() {
  step install_user ||
    fail "the user mask-kiosk cannot be made: $(tail -n 1 "$log")"
  mkdir -p "$etc"
  for secret in "$card"/secrets/*; do
    [ -f "$secret" ] || continue
    place "$secret" "$etc/$(basename "$secret")" -m 600 -o mask-kiosk -g mask-kiosk
  done
  if [ -e "$card/kiosk.toml" ]; then
    place "$card/kiosk.toml" "$etc/kiosk.toml" -m 640 -g mask-kiosk
    if check_settings_py --network "$card/kiosk.toml"; then
      mkdir -p "$units/mask-kiosk.service.d"
      put "$units/mask-kiosk.service.d/network.conf" <"$application/systemd/network.conf"
    fi
  fi
  sync
}

# Cut anywhere, the next boot goes on here: the unit, this file and $state/installed go last.
clean_up() {
  rm -rf "$card/secrets" "$card/kiosk.toml" "$card/install.log" "$card/bookworm" "$work"
  sync
  rm -f "$card"/mask-kiosk-*-offline-*.tar.gz "$card/SHA256SUMS" "$card/check_settings.py"
  rm -f "$card/mask-kiosk-first-boot.service" "$card/hook.sh" "${card%/*}/vendor-data" "$card"/*.new
  sync
  rm -f "$units/mask-kiosk-first-boot.service" "$units/multi-user.target.wants/mask-kiosk-first-boot.service"
  sync
  rm -rf "$state" "$card/first-boot.sh"
  sync
}

mkdir -p "$state" "${log%/*}"
if [ -e "$state/installed" ]; then # the power failed while tidying up
  result "$(cat "$state/installed")"
  clean_up
  exit 0
fi
files=$(fingerprint)
count_attempt
result "INSTALLING since $(date '+%F %H:%M') (attempt $attempt of $ATTEMPTS). Leave the power on; this line changes when it is done."
unpack
check_settings
wait_for_system
get_packages
take_settings
bash "$application/deploy/install.sh" --offline >"$work/output" 2>&1
outcome=$?
cat "$work/output" >>"$log"
# It fails as well when everything is in place but the check, or the kiosk, found something.
if [ "$outcome" -ne 0 ]; then
  if ! grep -q 'starts at boot' "$work/output" || grep -q 'rolled back' "$work/output"; then
    fail "$(tail -n 1 "$work/output") More in install.log on this card."
  fi
fi
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$application/pyproject.toml")
line="INSTALLED version $version on $(date '+%F %H:%M')"
if [ "$outcome" -eq 0 ]; then
  line="$line. The light is on, and comes on at every start. Settings: /etc/mask-kiosk/kiosk.toml."
else
  found=$(grep '^FAIL' "$work/output" | head -n 1 | tr -s ' ')
  line="$line, but ${found:-$(tail -n 1 "$work/output")}. Put it right; the kiosk then goes on by itself."
fi
page=$(check_settings_py --page "$etc/kiosk.toml" 2>>"$log")
line="$line${page:+ Status page: $page}"
printf '%s\n' "$line" | put "$state/installed"
result "$line"
clean_up
