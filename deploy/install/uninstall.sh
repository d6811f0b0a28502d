# shellcheck shell=bash
# Removes whatever install.sh made, except the journal of events. The Debian package's scripts use
# the same parts: remove_application when it is removed, the rest when it is purged.

uninstall() {
  local name packages=()
  require_no_package
  mapfile -t packages < <(sed -n 's/^package //p' "$ADDED" 2>/dev/null || true)
  stop_service
  remove_system_files
  # The packages stay: something else may use them by now. apt is told that nobody asked for them.
  for name in "${packages[@]}"; do
    ! has_package "$name" || apt-mark auto "$name" >/dev/null
  done
  remove_application
  remove_data
  rm -f "$LOCK"
  if [[ -d $STATE ]]; then
    say "done" "everything is gone but the journal of events: $STATE"
  else
    say "done" "everything is gone; there was no journal of events"
  fi
  if ((${#packages[@]})); then
    echo "Debian packages that came with the kiosk: sudo apt autoremove removes those that nothing" \
      "else needs."
  fi
}

stop_service() {
  [[ -e $UNIT_FILE ]] || return 0
  if systemd_runs; then systemctl --quiet stop "$UNIT" || true; fi
  systemctl --quiet disable "$UNIT" 2>/dev/null || true
}

remove_system_files() {
  remove_fixed_files "${SYSTEM_FILES[@]}" "- $UNIT_FILE" "- $DEFAULTS"
  rm -rf "$UNIT_FILE.d"
  if systemd_runs; then
    systemctl daemon-reload
    systemctl reset-failed "$UNIT" 2>/dev/null || true
    ! command -v udevadm >/dev/null || udevadm control --reload || true
  fi
  say removed "$UNIT, its rules and $DEFAULTS"
}

# And the folder that most Debians do not have before.
remove_fixed_files() { # PAIRS LIKE THOSE OF SYSTEM_FILES
  local pair
  for pair in "$@"; do remove_file "${pair#* }"; done
  if ! dpkg -S /etc/sysusers.d >/dev/null 2>&1; then
    rmdir --ignore-fail-on-non-empty /etc/sysusers.d 2>/dev/null || true
  fi
}

# Also what a cut run left of it, see put().
remove_file() { rm -f "$1" "$(dirname "$1")/.$(basename "$1").new"; }

remove_application() {
  # A folder there is somebody's own, see require_system.
  [[ ! -L $HOME_LINK ]] || rm "$HOME_LINK"
  rm -rf "$RELEASES" /run/mask-kiosk-check.*
  say removed "$HOME_LINK and $RELEASES"
}

# Last of all, so that a run that was cut still finds what the installation added.
remove_data() {
  local groups=()
  mapfile -t groups < <(sed -n 's/^group //p' "$ADDED" 2>/dev/null || true)
  keep_journal
  remove_user "${groups[@]}"
  rm -rf /etc/mask-kiosk "$MODELS" /run/mask-kiosk
  say removed "settings, keys and installed models"
}

# Snapshots are pictures of people, and go; events* stay, closed to all but root.
keep_journal() {
  [[ -d $STATE ]] || return 0
  find "$STATE" -mindepth 1 -maxdepth 1 ! -name 'events*' -exec rm -rf {} +
  if rmdir "$STATE" 2>/dev/null; then return; fi
  chown -R root:root "$STATE"
  chmod 700 "$STATE"
  say kept "the journal of events: $STATE"
}

remove_user() { # GROUPS...
  local name
  if id "$KIOSK_USER" >/dev/null 2>&1; then
    userdel "$KIOSK_USER"
    say removed "user $KIOSK_USER"
  fi
  for name in "$KIOSK_USER" "$@"; do
    ! getent group "$name" >/dev/null || groupdel "$name"
  done
}
