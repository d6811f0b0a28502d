# shellcheck shell=bash
# Removes whatever install.sh made, except the journal of events.

uninstall() {
  local name packages=() groups=() pair
  require_no_package
  mapfile -t packages < <(sed -n 's/^package //p' "$ADDED" 2>/dev/null || true)
  mapfile -t groups < <(sed -n 's/^group //p' "$ADDED" 2>/dev/null || true)
  if [[ -e $UNIT_FILE ]]; then
    if systemd_runs; then systemctl --quiet stop "$UNIT" || true; fi
    systemctl --quiet disable "$UNIT" 2>/dev/null || true
  fi
  rm -rf "$UNIT_FILE.d"
  for pair in "${SYSTEM_FILES[@]}" "- $UNIT_FILE" "- $DEFAULTS"; do
    remove_file "${pair#* }"
  done
  if systemd_runs; then
    systemctl daemon-reload
    systemctl reset-failed "$UNIT" 2>/dev/null || true
    ! command -v udevadm >/dev/null || udevadm control --reload
  fi
  say removed "$UNIT, its rules and its folders in /etc"
  rm -rf /etc/mask-kiosk "$MODELS" /run/mask-kiosk /run/mask-kiosk-check.*
  say removed "settings, keys and installed models"
  keep_journal
  remove_user "${groups[@]}"
  # The packages stay: something else may use them by now. apt is told that nobody asked for them.
  if ((${#packages[@]})); then
    for name in "${packages[@]}"; do
      ! has_package "$name" || apt-mark auto "$name" >/dev/null
    done
  fi
  rm -rf "$HOME_LINK" "$RELEASES"
  rm -f "$LOCK"
  say removed "$HOME_LINK and $RELEASES"
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

# Also what a cut run left of it, see put().
remove_file() { rm -f "$1" "$(dirname "$1")/.$(basename "$1").new"; }

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
  if getent group "$KIOSK_USER" >/dev/null; then groupdel "$KIOSK_USER"; fi
  for name in "$@"; do
    ! getent group "$name" >/dev/null || groupdel "$name"
  done
}
