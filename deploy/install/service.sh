# shellcheck shell=bash
# shellcheck disable=SC2153 # build_release sets RELEASE
# Takes a built release into use: check, switch, start, and back again when that does not go well.

HEALTHY_S=60

activate() {
  local before running=''
  before=$(current_release)
  ! service_healthy || running=1
  if [[ $running ]] && in_use; then
    # The running kiosk holds camera and pins, and proves them: it is READY.
    say "already there" "$UNIT, active and healthy"
    take_into_use
    mark_healthy
    check_without_hardware "$RELEASE" || fail_last "the check failed, see above"
    finish
    return
  fi
  if ! systemd_runs || { [[ $PACKAGED ]] && ! starts_at_boot; }; then
    take_into_use
    say "not checked" "camera and pins: $UNIT cannot be started here, or is not enabled"
    check_without_hardware "$RELEASE" || fail_last "the check failed, see above"
    remove_others
    finish
    return
  fi
  # Cut from here on, for example by a broken connection, the kiosk that ran goes on.
  [[ -z $running ]] || trap 'systemctl start --no-block "$UNIT" || true' EXIT
  systemctl stop "$UNIT" 2>/dev/null || true
  local checked=0
  check_against "$before" || checked=1
  if ((checked)) && [[ $running && $NEW_FAILS ]]; then
    fail_last "the new release failed its check ($NEW_FAILS); the one before it goes on: $before"
  fi
  take_into_use
  say starting "$UNIT, which has $HEALTHY_S s to become healthy"
  if start_and_wait; then
    trap - EXIT
    say started "$UNIT: active and healthy"
    mark_healthy
    remove_others
    ((checked == 0)) || fail_last "the kiosk runs, but its check failed, see above"
    finish
    return
  fi
  say FAILED "$UNIT: $(why_unhealthy)"
  # It has worked since it was taken into use, so something else broke: an older one would not help.
  if was_healthy; then fail_last "the service is not healthy, but this release has been: $RELEASE stays"; fi
  roll_back "$(previous_release)"
}

# That the release in use has worked since it was taken into use. A run that was cut after the switch
# left no mark, so that the next one still goes back.
mark_healthy() { touch "$HOME_LINK/.healthy"; }
was_healthy() { [[ -e $RELEASE/.healthy ]]; }

# The new release's check. What fails with the release before as well (under-voltage, a broker that is off)
# is no fault of the new one, and no reason against it.
NEW_FAILS='' # what fails with the new one alone; empty: there is no other to compare with
check_against() { # RELEASE BEFORE
  local said failed
  said=$(mktemp /run/mask-kiosk-check.XXXXXX)
  if check "$RELEASE" | tee "$said"; then
    rm -f "$said"
    return
  fi
  failed=$(failing <"$said")
  rm -f "$said"
  [[ $1 != "$RELEASE" ]] && is_whole "$1" || return 1
  say comparing "with the release before: does it fail there as well?"
  NEW_FAILS=$(comm -23 <(echo "$failed") <(check "$1" 2>/dev/null | failing | grep -vx "$NO_END") \
    | join_lines)
  [[ -z $NEW_FAILS ]] || return 1
  say "as before" "the check fails with the release before as well: $(join_lines <<<"$failed")"
}

# The names of a check's lines that FAIL, sorted; with one more when it came to no end.
NO_END="it did not end"
failing() {
  awk -v no_end="$NO_END" '/^FAIL / { sub(/^FAIL +/, ""); sub(/  .*/, ""); print }
    /^(all well|[0-9]+ failed)$/ { ended = 1 }
    END { if (!ended) print no_end }' | sort
}

join_lines() { paste -sd, | sed 's/,/, /g'; }

# Whether the new release is the one in use already.
in_use() {
  [[ $(current_release) == "$RELEASE" ]] && { [[ $PACKAGED ]] || cmp -s "$RELEASE/systemd/$UNIT" "$UNIT_FILE"; }
}

take_into_use() {
  if in_use; then
    say "already there" "$HOME_LINK and $UNIT"
  else
    [[ $(current_release) == "$RELEASE" ]] || rm -f "$RELEASE/.healthy"
    switch_to "$RELEASE"
    say installed "$HOME_LINK and $UNIT"
  fi
  if starts_at_boot; then
    say "already there" "$UNIT starts at boot"
  elif [[ -z $PACKAGED ]]; then
    systemctl --quiet enable "$UNIT"
    say installed "$UNIT starts at boot"
  fi
}

starts_at_boot() { systemctl is-enabled --quiet "$UNIT" 2>/dev/null; }

roll_back() { # RELEASE
  if [[ $1 == "$RELEASE" ]] || ! is_whole "$1"; then
    fail_last "the service is installed but not healthy, and there is no release before it"
  fi
  systemctl stop "$UNIT" || true
  switch_to "$1"
  if start_and_wait; then
    mark_healthy
    fail_last "the new release was not healthy; rolled back to $1, which is"
  fi
  fail_last "the new release was not healthy; rolled back to $1, which is not healthy either:" \
    "$(why_unhealthy)"
}

# The unit's state in one word. For Type=notify "active" means: READY, a frame was looked at.
service_state() { systemctl show --value --property=ActiveState "$UNIT"; }

service_healthy() { systemd_runs && [[ $(service_state) == active ]]; }

# Start it and wait until one process was active for three seconds.
start_and_wait() {
  local process before='' steady=0 end=$((SECONDS + HEALTHY_S))
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  systemctl start --no-block "$UNIT"
  while ((SECONDS < end)); do
    sleep 1
    case $(service_state) in
      failed) return 1 ;;
      active) ;;
      *) steady=0 && continue ;;
    esac
    process=$(systemctl show --value --property=MainPID "$UNIT")
    if [[ $process == "$before" ]]; then steady=$((steady + 1)); else steady=0; fi
    before=$process
    ((steady < 3)) || return 0
  done
  return 1
}

why_unhealthy() {
  local said
  said=$(journalctl --quiet --no-pager --output=cat --lines=1 "_SYSTEMD_UNIT=$UNIT" 2>/dev/null)
  echo "$(service_state); last words: ${said:-none}"
}

# The whole check, with the rights of the service. Nothing else may use camera and pins then.
check() { # RELEASE [OPTIONS OF CHECK]
  local folder release=$1 extra=() code=0
  shift
  say checking "with: edge_app check $*"
  folder=$(mktemp -d /run/mask-kiosk-check.XXXXXX)
  chown "$KIOSK_USER:$KIOSK_USER" "$folder"
  mapfile -t extra < <(service_environment)
  (cd "$folder" && runuser -u "$KIOSK_USER" -- env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME="$folder" \
    LG_WD="$folder" PYTHONPATH="$release" PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 \
    MASK_KIOSK_MODELS="$MODELS" "${extra[@]}" \
    "$release/.venv/bin/python" -m edge_app check --settings "$SETTINGS" "$@") || code=$?
  rm -rf "$folder"
  return "$code"
}

# What systemd reads from the file of the unit's environment, of one-line values: NAME=VALUE, in quotes or not.
service_environment() {
  local line name value
  while IFS= read -r line || [[ $line ]]; do
    [[ $line =~ ^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)=[[:space:]]*(.*)$ ]] || continue
    name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    value=${value%"${value##*[![:space:]]}"}
    if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then value=${BASH_REMATCH[1]}; fi
    printf '%s\n' "$name=$value"
  done < <(cat "$DEFAULTS" 2>/dev/null)
}

check_without_hardware() { # RELEASE
  check "$1" --mock-pins --source "$1/edge_app/assets/demo.mp4"
}

# The last line of every run.
finish() {
  if systemd_runs; then
    say "done" "the kiosk runs; look at its light. Settings: sudo nano $SETTINGS &&" \
      "sudo systemctl reload mask-kiosk"
  else
    say "done" "start this system; the kiosk starts with it. Settings: $SETTINGS"
  fi
}

fail_last() {
  fail "$*; to do: put it right and run this again, or read docs/install.md; log:" \
    "sudo journalctl -u mask-kiosk"
}
