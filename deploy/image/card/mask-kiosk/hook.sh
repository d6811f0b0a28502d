#!/bin/sh
# Run by root early at a boot, from this card: has systemd run first-boot.sh, now (start) or at the
# next boot. Running it again changes nothing.
set -eu
root=${MASK_KIOSK_ROOT:-} # another root than /: tests
card=$(cd "$(dirname "$0")" && pwd)
units=$root/etc/systemd/system
unit=mask-kiosk-first-boot.service

mkdir -p "$units/multi-user.target.wants"
sed "s#@CARD@#${card#"$root"}#g" "$card/$unit" >"$units/.$unit.new"
sync
mv "$units/.$unit.new" "$units/$unit"
ln -sf "../$unit" "$units/multi-user.target.wants/$unit"
sync

# This boot was planned before the unit was there.
if [ "${1:-}" = start ]; then
  systemctl daemon-reload
  systemctl --no-block start "$unit"
fi
