#!/bin/sh
# Raspberry Pi OS "bookworm" runs this file once, named in cmdline.txt, and then starts again.
# mask-kiosk begin
for boot in /boot/firmware /boot; do
  if [ -f "$boot/mask-kiosk/hook.sh" ]; then
    /bin/sh "$boot/mask-kiosk/hook.sh"
    break
  fi
done
# mask-kiosk end
# First cmdline.txt, then this file: a start that names a file which is gone ends with the power off.
for boot in /boot/firmware /boot; do
  if [ -f "$boot/firstrun.sh" ]; then
    sed 's/ systemd\.[^ ]*//g' "$boot/cmdline.txt" >"$boot/cmdline.new" && sync &&
      mv "$boot/cmdline.new" "$boot/cmdline.txt" && sync && rm -f "$boot/firstrun.sh"
    break
  fi
done
exit 0
