# shellcheck shell=bash
# What must be true before anything is changed; each refusal is one line and exit code 2.

MIN_MEMORY_KB=390625 # 400 MB; a board with 512 MB shows about 430
# Free space in /opt for two releases, and in /usr where Debian's packages are still to come.
MIN_OPT_MB=500
MIN_USR_MB=1500

require_root() {
  ((EUID == 0)) || refuse "needs root: sudo deploy/install.sh"
}

require_system() {
  local architecture
  [[ -x /usr/bin/apt-get && -x /usr/bin/dpkg ]] \
    || refuse "this is no Debian and no Raspberry Pi OS: there is no apt-get here"
  architecture=$(dpkg --print-architecture)
  case $architecture in
    arm64 | amd64) ;;
    *) refuse "needs a 64-bit system, this one is $architecture: flash the 64-bit Raspberry Pi OS" ;;
  esac
  command -v systemd-sysusers >/dev/null \
    || refuse "needs systemd, which is not installed: sudo apt install systemd"
  [[ ! -x /usr/bin/python3 ]] || require_python
  local memory
  memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
  ((memory >= MIN_MEMORY_KB)) \
    || refuse "needs 400 MB of memory, this computer has $((memory * 1024 / 1000000)) MB"
  [[ -L $HOME_LINK || ! -e $HOME_LINK ]] \
    || refuse "$HOME_LINK was not made by this installer: move it away, e.g." \
      "sudo mv $HOME_LINK ~/mask-kiosk-before"
}

require_python() {
  local version
  version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || refuse "needs Python 3.11 or newer, this system has $version: flash Raspberry Pi OS" \
      '"bookworm" or newer'
}

# The .deb and this script would fight over the same files. One that was removed but not purged, or is
# half installed, as well: its purge, later, would take the kiosk away.
require_no_package() {
  local status
  status=$(dpkg-query -W -f '${db:Status-Status}' mask-kiosk 2>/dev/null) || true
  case $status in
    '' | not-installed) ;;
    installed)
      refuse "the Debian package mask-kiosk is installed: update that one, or remove it with" \
        "sudo apt purge mask-kiosk"
      ;;
    *)
      refuse "the Debian package mask-kiosk has left something here ($status): install that one again," \
        "or copy /etc/mask-kiosk and then remove it with sudo apt purge mask-kiosk"
      ;;
  esac
}

# The offline bundle: whole, and made for this computer.
require_bundle() {
  [[ -f $TREE/SHA256SUMS && -d $TREE/wheels ]] \
    || refuse "--offline needs the offline bundle: unpack it and run the install.sh in it"
  local bad
  bad=$(cd "$TREE" && sha256sum --check --quiet --strict SHA256SUMS 2>&1 | head -n 1) || true
  [[ -z $bad ]] || refuse "the bundle is damaged ($bad): copy it again"
  # Unpacked over another one.
  bad=$(comm -13 <(sed 's/^[^ ]*  //' "$TREE/SHA256SUMS" | sort) <(shipped_files "$TREE") \
    | head -n 1) || true
  [[ -z $bad ]] || refuse "the bundle has files of another one ($bad): unpack it into an empty folder"
  local here made_for python
  here=$(dpkg --print-architecture)
  made_for=$(<"$TREE/wheels/ARCHITECTURE")
  [[ $here == "$made_for" ]] || refuse "this bundle is for $made_for, this computer is $here"
  [[ -x /usr/bin/python3 ]] \
    || refuse "needs Debian packages that are missing: $(missing_packages | xargs)"
  python=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  grep -qx "$python" "$TREE/wheels/PYTHONS" \
    || refuse "this bundle is for Python $(paste -sd' ' "$TREE/wheels/PYTHONS"), this system has" \
      "$python"
  local missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} == 0)) \
    || refuse "without network these must be there already: sudo apt install ${missing[*]}"
}

require_resources() { # OFFLINE
  local need=$MIN_OPT_MB free where=/opt
  [[ -d /opt ]] || where=/
  free=$(df --output=avail -m "$where" | tail -n 1)
  ((free >= need)) || refuse "needs $need MB free in /opt, there are $((free)) MB"
  [[ -z $1 && $(missing_packages) ]] || return 0
  need=$MIN_USR_MB
  free=$(df --output=avail -m /usr | tail -n 1)
  ((free >= need)) \
    || refuse "needs $need MB free for Debian's packages, there are $((free)) MB"
}

# Waits for another run. Held by whatever this script started, too: after a kill -9 a pip or a copy
# may live on for a while, and must not meet the next run.
one_at_a_time() {
  mkdir -p "$(dirname "$LOCK")"
  exec 9>"$LOCK"
  flock --nonblock 9 && return
  say waiting "another installation is running"
  flock --timeout 600 9 || refuse "another installation has been running for ten minutes"
}
