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
work=$root/var/tmp/mask-kiosk-first-boot
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
  installer=$(find "$work" -maxdepth 2 -name install.sh | head -n 1)
  checker=$(find "$work" -path '*/deploy/image/check_settings.py' | head -n 1)
  if [ -z "$installer" ] || [ -z "$checker" ]; then
    fail "the bundle has no install.sh or no check_settings.py. Copy a whole one and power the box."
  fi
  application=${checker%/deploy/image/check_settings.py}
}

# Before anything is changed. A kiosk with wrong pins must not be switched on at all.
check_settings() {
  if [ ! -e "$card/kiosk.toml" ]; then
    # Windows hides the end of a name, and Notepad adds one.
    [ ! -e "$card/kiosk.toml.txt" ] || fail "kiosk.toml is named kiosk.toml.txt. Rename it and power the box."
    return 0
  fi
  mistake=$(python3 -B "$checker" "$card/kiosk.toml" 2>&1) ||
    fail "$(printf '%s' "$mistake" | tail -n 1). Correct kiosk.toml on this card and power the box."
}

wait_for_system() {
  # It sets up users and the network, and may install packages itself.
  if command -v cloud-init >/dev/null; then
    timeout "$WAIT_S" cloud-init status --wait >>"$log" 2>&1 || say "cloud-init: status $?"
  fi
}

wait_for_network() {
  # Also the sign that the clock is right: apt refuses lists from the future.
  waited=0
  until timeout 300 apt-get -q -o DPkg::Lock::Timeout=120 update >>"$log" 2>&1; do
    [ "$waited" -lt "$WAIT_S" ] ||
      fail "no network for $((WAIT_S / 60)) minutes, and packages are missing. Plug in a network cable, or write the card again with the right Wi-Fi name and password, and power the box."
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
  systemd-sysusers ${root:+"--root=$root"} "$application/systemd/sysusers.d/mask-kiosk.conf" >>"$log" 2>&1 ||
    fail "the user mask-kiosk cannot be made: $(tail -n 1 "$log")"
  mkdir -p "$etc"
  for secret in "$card"/secrets/*; do
    [ -f "$secret" ] || continue
    place "$secret" "$etc/$(basename "$secret")" -m 600 -o mask-kiosk -g mask-kiosk
  done
  if [ -e "$card/kiosk.toml" ]; then
    place "$card/kiosk.toml" "$etc/kiosk.toml" -m 640 -g mask-kiosk
    if python3 -B "$checker" --network "$card/kiosk.toml"; then
      mkdir -p "$units/mask-kiosk.service.d"
      put "$units/mask-kiosk.service.d/network.conf" <"$application/systemd/network.conf"
    fi
  fi
  sync
}

# From the least to the most needed for doing it again.
clean_up() {
  rm -rf "$card/secrets" "$card/kiosk.toml" "$card/install.log" "$card/bookworm"
  sync
  rm -f "$card/hook.sh" "${card%/*}/vendor-data"
  rm -f "$units/multi-user.target.wants/mask-kiosk-first-boot.service" "$units/mask-kiosk-first-boot.service"
  rm -rf "$work"
  sync
  rm -f "$card"/mask-kiosk-*-offline-*.tar.gz "$card/SHA256SUMS" "$card/mask-kiosk-first-boot.service"
  rm -rf "$state"
  rm -f "$card/first-boot.sh" "$card"/*.new
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
wait_for_network
take_settings
if (cd "${installer%/*}" && bash ./install.sh --offline) >"$work/output" 2>&1; then outcome=0; else outcome=$?; fi
cat "$work/output" >>"$log"
# 1: installed, but the check at its end found something; more than 1: not installed.
[ "$outcome" -le 1 ] || fail "install.sh: $(tail -n 1 "$work/output") See install.log on this card."
version=$(cat "$application/VERSION" 2>/dev/null || basename "$application")
found=$(grep '^FAIL' "$work/output" | head -n 1 | tr -s ' ')
if [ "$outcome" -eq 0 ]; then
  line="INSTALLED $version on $(date '+%F %H:%M'). The light is on, and stays on at every start. Settings: /etc/mask-kiosk/kiosk.toml."
else
  line="INSTALLED $version on $(date '+%F %H:%M'), but ${found:-the check at the end did not pass}. Put it right; the kiosk then goes on by itself."
fi
printf '%s\n' "$line" | put "$state/installed"
result "$line"
clean_up
