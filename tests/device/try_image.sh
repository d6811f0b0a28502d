#!/usr/bin/env bash
# The layer and the card for real, in Debian roots on this computer (x86-64, so with that bundle):
#
#     make bundle ARCH=x86_64
#     sudo tests/device/try_image.sh layer trixie     mmdebstrap runs the layer's own section
#     sudo tests/device/try_image.sh card trixie      first boot from a FAT file system, with power cuts
#     sudo tests/device/try_image.sh cloud trixie     what cloud-init does with vendor-data
#
# Not what a Pi does: no Raspberry Pi archive (python3-picamera2 and -lgpio are left out), no arm64, no systemd that runs.
# The roots stay in build/image/ and are used again; remove the folder to begin anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD
what=${1:?layer, card or cloud}
suite=${2:-trixie}
out=$here/build/image/$what-$suite
bundle=$(echo "$here"/build/dist/mask-kiosk-*-offline-x86_64.tar.gz)

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

wanted() { # WHAT IT IS, A TEST...
  local name=$1
  shift
  if "$@"; then say "ok    $name"; else say "FAIL  $name" && exit 1; fi
}

# A command in a root, with a process table of its own: whatever it started ends with it.
inside() { # ROOT COMMAND...
  local root=$1
  shift
  unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root" \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

variables() { # as rpi-image-gen hands them to the layer's hooks
  export IGconf_maskkiosk_assetdir=$here/deploy/image/layer/mask-kiosk.d IGconf_maskkiosk_bundle=$bundle
  export IGconf_maskkiosk_camera=/dev/video0 IGconf_maskkiosk_pin_red=${PIN_RED:-5}
  export IGconf_maskkiosk_pin_amber=27 IGconf_maskkiosk_pin_green=22 IGconf_maskkiosk_pin_buzzer=23
  export IGconf_maskkiosk_wifi_ssid='Front door 5G' IGconf_maskkiosk_wifi_passphrase='correct horse'
}

# The hook once more, in the root that `layer` has made.
try_hook() {
  out=$here/build/image/layer-$suite
  variables
  sh "$here/deploy/image/layer/mask-kiosk.d/install-in-root" "$out"
}

try_layer() {
  rm -rf --one-file-system "$out"
  mkdir -p "$here/build/image"
  local layer=$here/deploy/image/layer/mask-kiosk.yaml packages hook
  packages=$(sed -n '/^  packages:/,/^  [a-z-]*hooks:/s/^    - //p' "$layer" | grep -vE 'picamera2|lgpio' | paste -sd,)
  hook=$(sed -n '/^  customize-hooks:/,$s/^    - //p' "$layer")
  say "mmdebstrap $suite with $packages"
  variables
  mmdebstrap --variant=apt --include="systemd-sysv,network-manager,$packages" \
    --customize-hook="$hook" "$suite" "$out" http://deb.debian.org/debian >"$out.log" 2>&1 || { tail -n 20 "$out.log"; exit 1; }
  wanted "the application is there" test -L "$out/opt/mask-kiosk"
  wanted "it runs in there" inside "$out" sh -c \
    'cd /opt/mask-kiosk && .venv/bin/python -m edge_app replay edge_app/assets/demo.mp4 >/dev/null 2>&1'
  wanted "the service starts at boot" test -L "$out/etc/systemd/system/multi-user.target.wants/mask-kiosk.service"
  wanted "the red lamp's pin is that of the variable" grep -qx 'red = 5' "$out/etc/mask-kiosk/kiosk.toml"
  wanted "the settings are closed" test "$(inside "$out" stat -c '%U:%G %a' /etc/mask-kiosk/kiosk.toml)" = "root:mask-kiosk 640"
  wanted "the Wi-Fi is root's alone" test "$(stat -c '%u %a' "$out/etc/NetworkManager/system-connections/kiosk.nmconnection")" = "0 600"
  inside "$out" nmcli --offline connection modify connection.id kiosk \
    <"$out/etc/NetworkManager/system-connections/kiosk.nmconnection" >"$out/tmp/read-back"
  wanted "NetworkManager reads it" grep -qx 'ssid=Front door 5G' "$out/tmp/read-back"
  wanted "two lamps on one pin: the build ends" sh -c "PIN_RED=27 '$here/tests/device/try_image.sh' hook '$suite' 2>&1 | grep 'must differ' >/dev/null"
  wanted "the bundle is gone from the root" test ! -e "$out/var/tmp/mask-kiosk-bundle"
  say "size: $(du -sm --one-file-system "$out" | cut -f1) MB"
}

make_base() { # MORE PACKAGES
  [[ ! -d $out ]] || return 0
  mkdir -p "$here/build/image"
  say "mmdebstrap $suite"
  mmdebstrap --variant=apt --include="systemd-sysv,python3${1:+,$1}" "$suite" "$out.new" http://deb.debian.org/debian >"$out.log" 2>&1
  mv "$out.new" "$out"
}

# A boot partition as Imager leaves it, on a FAT file system where this computer can mount one.
make_card() {
  local boot=$out/boot/firmware
  ! mountpoint -q "$boot" || umount "$boot"
  rm -rf --one-file-system "$boot"
  mkdir -p "$boot"
  truncate -s 256M "$out.fat"
  mkfs.vfat -n BOOTFS "$out.fat" >/dev/null
  if mount -o loop "$out.fat" "$boot" 2>/dev/null; then say "a real FAT file system"; else say "no loop devices: a plain folder"; fi
  echo 'console=tty1 root=PARTUUID=0123abcd-02 rootwait' >"$boot/cmdline.txt"
  : >"$boot/config.txt" && : >"$boot/kernel8.img"
  if [[ $suite != bookworm ]]; then
    echo 'instance_id: rpios-image' >"$boot/meta-data"
    printf '#cloud-config\nhostname: door\n' >"$boot/user-data"
  fi
  printf '[source]\nuri = "/dev/video0"\n[indicator]\nred = 5\n' >"$out.toml"
  local renamed=${bundle%x86_64.tar.gz}arm64.tar.gz folder
  folder=$(mktemp -d)
  cp "$bundle" "$folder/$(basename "$renamed")"
  python3 deploy/image/prepare_card.py "$boot" "$folder/$(basename "$renamed")" --settings "$out.toml" | head -n 1
  rm -r "$folder"
}

# What cloud-init, or firstrun.sh, and then systemd do at a boot.
boot() { # SECONDS UNTIL THE POWER FAILS; 0: it does not
  local run=() script=/boot/firmware/mask-kiosk/first-boot.sh
  if [[ -e $out/boot/firmware/firstrun.sh ]]; then inside "$out" sh /boot/firmware/firstrun.sh; fi
  if [[ -e $out/boot/firmware/mask-kiosk/hook.sh && -e $out/boot/firmware/vendor-data ]]; then
    inside "$out" sh /boot/firmware/mask-kiosk/hook.sh
  fi
  [[ -e $out/etc/systemd/system/mask-kiosk-first-boot.service && -e $out$script ]] || return 0
  if (($1)); then run=(timeout --signal=KILL "$1"); fi
  "${run[@]}" unshare --mount --pid --fork --kill-child --mount-proc="$out/proc" chroot "$out" env -i \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin MASK_KIOSK_WAIT_S=60 sh "$script" || true
} 2>/dev/null

result() { cat "$out/boot/firmware/mask-kiosk/RESULT.txt"; }

try_card() {
  make_base
  cp /etc/resolv.conf "$out/etc/resolv.conf"
  make_card
  systemd_unit=$out/etc/systemd/system/mask-kiosk-first-boot.service
  local after
  for after in ${CUTS:-3 20 8 5}; do
    boot "$after"
    say "power cut after $after s: $(result)"
    [[ -e $systemd_unit ]] || break
  done
  if [[ -e $systemd_unit ]]; then
    systemd-analyze verify --recursive-errors=yes "$systemd_unit"
    say "ok    systemd-analyze verify"
  fi
  boot 0
  say "$(result)"
  wanted "installed" grep -q '^INSTALLED version' "$out/boot/firmware/mask-kiosk/RESULT.txt"
  wanted "only the result is left on the card" test "$(ls "$out/boot/firmware/mask-kiosk")" = RESULT.txt
  wanted "the settings of the card" grep -qx 'red = 5' "$out/etc/mask-kiosk/kiosk.toml"
  wanted "no unit of the first boot is left" test ! -e "$systemd_unit"
  wanted "the service starts at boot" test -L "$out/etc/systemd/system/multi-user.target.wants/mask-kiosk.service"
  wanted "cmdline.txt is as Imager left it" grep -qx 'console=tty1 root=PARTUUID=0123abcd-02 rootwait' "$out/boot/firmware/cmdline.txt"
  boot 0
  wanted "the next boot changes nothing" grep -q '^INSTALLED version' "$out/boot/firmware/mask-kiosk/RESULT.txt"
  ! mountpoint -q "$out/boot/firmware" || umount "$out/boot/firmware"
}

# cloud-init's stages of one boot, with the kernel command line that Imager writes.
cloud_boot() {
  rm -rf "$out"/run/*
  echo boot >>"$out/root/said"
  inside "$out" env 'DEBUG_PROC_CMDLINE=console=tty1 rootwait ds=nocloud;i=rpi-imager-1790623015181' sh -c '
    cloud-init init --local; cloud-init init; cloud-init modules --mode=config
    cloud-init modules --mode=final' >"$out.log" 2>&1 || true
}

new_cloud_card() {
  rm -rf "$out/boot/firmware" "$out/var/lib/cloud" "$out/root/said"
  mkdir -p "$out/boot/firmware/mask-kiosk"
  echo 'instance_id: rpios-image' >"$out/boot/firmware/meta-data"
  printf '%s\n' '#cloud-config' 'bootcmd: [[sh, -c, "echo theirs >>/root/said"]]' >"$out/boot/firmware/user-data"
  # shellcheck disable=SC2016 # for the script in there
  echo 'echo "ours $1" >>/root/said' >"$out/boot/firmware/mask-kiosk/hook.sh"
}

said() { paste -sd' ' "$out/root/said"; }

try_cloud() {
  make_base cloud-init
  # As Raspberry Pi OS configures it.
  printf '%s\n' 'datasource_list: [NoCloud, None]' \
    'datasource: {NoCloud: {seedfrom: "file:///boot/firmware"}}' >"$out/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg"
  say "$(inside "$out" cloud-init --version)"
  new_cloud_card
  cp deploy/image/card/vendor-data "$out/boot/firmware/"
  cloud_boot
  cloud_boot
  wanted "ours runs at each boot, beside theirs" \
    test "$(said)" = "boot ours start theirs boot ours start theirs"
  rm "$out/boot/firmware/vendor-data"
  cloud_boot
  wanted "cloud-init keeps it: a card that is prepared once more works" \
    test "$(said)" = "boot ours start theirs boot ours start theirs boot ours start theirs"
  rm "$out/boot/firmware/mask-kiosk/hook.sh"
  cloud_boot
  wanted "nothing of ours runs when hook.sh is gone" \
    test "$(said)" = "boot ours start theirs boot ours start theirs boot ours start theirs boot theirs"
  new_cloud_card
  cloud_boot
  cp deploy/image/card/vendor-data "$out/boot/firmware/"
  cloud_boot
  wanted "known limit: a card that was started without it does not take it" test "$(said)" = "boot theirs boot theirs"
}

"try_$what"
