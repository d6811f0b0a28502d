# shellcheck shell=bash
# What the kiosk needs of the system around it: Debian packages, user, groups, rules, settings.

# numpy and OpenCV are Debian's: picamera2 and its helpers are built for that numpy.
PACKAGES=(python3 python3-venv python3-numpy python3-opencv python3-cryptography)
# Only Raspberry Pi OS has these two: its camera, and the pins.
PI_PACKAGES=(python3-picamera2 python3-lgpio)
# libcamera only recommends its part for the Pi's cameras, and recommended packages are not taken.
CAMERA_PACKAGES=(libcamera-ipa)
# How long another apt or dpkg is waited for.
APT_WAIT_S=300

has_package() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

apt_knows() { [[ $(apt-cache madison "$1" 2>/dev/null) ]]; }

missing_packages() {
  local name
  for name in "${PACKAGES[@]}"; do
    has_package "$name" || echo "$name"
  done
}

install_packages() { # OFFLINE
  local wanted=() name
  repair_packages
  if [[ -z $1 ]]; then
    mapfile -t wanted < <(missing_packages)
    if ((${#wanted[@]})) || { on_a_pi && ! all_pi_packages; }; then
      say asking "apt for its lists of packages"
      quiet_apt update || fail "apt-get update failed: is there a network? Run this again then"
    fi
    for name in "${PI_PACKAGES[@]}" "${CAMERA_PACKAGES[@]}"; do
      if ! has_package "$name" && apt_knows "$name" && of_use "$name"; then wanted+=("$name"); fi
    done
  fi
  if ((${#wanted[@]})); then
    say installing "with apt: ${wanted[*]}"
    remember_packages "${wanted[@]}"
    quiet_apt install "${wanted[@]}" \
      || fail "apt-get install failed: is there a network? Run this again then, it goes on where it was"
    say installed "Debian packages: ${wanted[*]}"
  else
    say "already there" "Debian packages: ${PACKAGES[*]}"
  fi
  require_python
  for name in "${PI_PACKAGES[@]}"; do
    has_package "$name" || say "not here" "$name: only Raspberry Pi OS has it; $(without "$name")"
  done
}

# A run that was cut while dpkg worked leaves packages half set up; so it looks, too, while another apt
# works, as of a fresh system that updates itself. dpkg does not wait for its lock.
repair_packages() {
  local said told='' end=$((SECONDS + APT_WAIT_S))
  while [[ $(dpkg --audit) ]]; do
    said=$(DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a \
      2>&1 </dev/null 9>&-) && {
      say repaired "Debian packages that a cut run left half set up"
      return
    }
    if [[ $said != *lock* ]] || ((SECONDS >= end)); then
      printf '%s\n' "$said" | tail -n 5 >&2
      fail "Debian packages are half set up and dpkg cannot go on: sudo dpkg --configure -a says why"
    fi
    [[ $told ]] || say waiting "for another apt, up to $APT_WAIT_S s"
    told=1
    sleep 2
  done
}

# A camera's helper is of none where the camera cannot be used.
of_use() {
  [[ " ${CAMERA_PACKAGES[*]} " != *" $1 "* ]] || has_package python3-picamera2 || apt_knows python3-picamera2
}

without() {
  case $1 in
    *picamera2) echo "a Pi camera cannot be used, USB and network cameras can" ;;
    *) echo "lamps on the pins of a Pi cannot be used" ;;
  esac
}

on_a_pi() { grep -aqs 'Raspberry Pi' /proc/device-tree/model; }

all_pi_packages() {
  local name
  for name in "${PI_PACKAGES[@]}" "${CAMERA_PACKAGES[@]}"; do has_package "$name" || return 1; done
}

# Waits for another apt. Nothing can ask: a file that the owner changed stays. Descriptor 9 is this
# script's lock.
quiet_apt() {
  local said
  said=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
    -o DPkg::Lock::Timeout=$APT_WAIT_S -o APT::Get::Assume-Yes=true \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    "$@" 2>&1 </dev/null 9>&-) || {
    printf '%s\n' "$said" | tail -n 5 >&2
    return 1
  }
}

# So that --uninstall can give them back to apt.
remember_packages() {
  local name
  for name in "$@"; do
    has_package "$name" || remember "package $name"
  done
}

remember() {
  mkdir -p "$(dirname "$ADDED")"
  grep -qxs "$1" "$ADDED" || echo "$1" >>"$ADDED"
}

install_user() {
  local name
  for name in video gpio; do
    getent group "$name" >/dev/null || remember "group $name"
  done
  if id "$KIOSK_USER" >/dev/null 2>&1 && id -nG "$KIOSK_USER" | grep -qw gpio; then
    say "already there" "user $KIOSK_USER with the groups video and gpio"
  else
    systemd-sysusers "$TREE/systemd/sysusers.d/mask-kiosk.conf" >/dev/null 2>&1
    id "$KIOSK_USER" >/dev/null || fail "systemd-sysusers did not make the user $KIOSK_USER"
    say installed "user $KIOSK_USER with the groups video and gpio"
  fi
  # A journal that an earlier installation left belongs to nobody.
  [[ ! -d $STATE ]] || chown -R "$KIOSK_USER:$KIOSK_USER" "$STATE"
}

install_files() {
  local pair changed=$PACKAGED
  if [[ -z $PACKAGED ]]; then
    for pair in "${SYSTEM_FILES[@]}"; do
      put_file "$TREE/${pair% *}" "${pair#* }" && changed=1
    done
  fi
  systemd-tmpfiles --create "$TREE/systemd/tmpfiles.d/mask-kiosk.conf"
  if [[ $changed ]] && systemd_runs && command -v udevadm >/dev/null; then
    { udevadm control --reload \
      && udevadm trigger --subsystem-match=gpio --subsystem-match=dma_heap --settle; } \
      || say "not here" "a running udev: the rules for pins hold from the next start on"
  fi
}

# Copy a file into place, unless the same is there; whether it had to.
put_file() { # SOURCE TARGET
  if cmp -s "$1" "$2"; then
    say "already there" "$2"
    return 1
  fi
  put "$2" 644 <"$1"
  say installed "$2"
}

install_settings() {
  if [[ -e $DEFAULTS ]]; then
    say "already there" "$DEFAULTS"
  else
    put "$DEFAULTS" 644 <"$TREE/systemd/mask-kiosk.default"
    say installed "$DEFAULTS"
  fi
  install -d -m 755 /etc/mask-kiosk "$KEYS"
  if [[ -e $SETTINGS ]]; then
    # Perhaps put there by hand; the service reads it as its group, and nobody else may.
    chown "root:$KIOSK_USER" "$SETTINGS"
    chmod 640 "$SETTINGS"
    say "already there" "$SETTINGS"
  else
    put "$SETTINGS" 640 "$KIOSK_USER" <"$TREE/deploy/kiosk.example.toml"
    say installed "$SETTINGS"
  fi
}
