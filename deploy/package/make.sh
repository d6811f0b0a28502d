#!/usr/bin/env bash
# Makes the Debian package: `make deb`, or `make deb ARCH=x86_64`. It holds what the offline bundle holds.
#
#     build/dist/mask-kiosk_VERSION_arm64.deb
#
# dpkg puts the bundle into /usr/lib/mask-kiosk, and unit, user and rules into /usr/lib. The application
# itself is not in the package's list of files: postinst builds it below /opt with the steps of install.sh, so
# that the unit is the same however a kiosk was installed, the virtual environment fits the Python that is
# there, and a release that is not healthy goes back. That also keeps the package's files out
# of /opt, which Debian leaves to others.
set -euo pipefail
umask 022
export LC_ALL=C
cd "$(dirname "$0")/../.."
here=deploy/package

deploy/bundle/make.sh "${1:-arm64}"
case ${1:-arm64} in
  arm64 | aarch64) name=arm64 debian=arm64 ;;
  *) name=x86_64 debian=amd64 ;;
esac
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

root=build/package/$debian
rm -rf "$root"
mkdir -p "$root/DEBIAN" "$root/usr/lib" "$root/etc/default" "$root/usr/share/doc/mask-kiosk" \
  "$root/usr/share/lintian/overrides"
cp -r "build/bundle/mask-kiosk-$version-offline-$name" "$root/usr/lib/mask-kiosk"
# Only for those who unpack the bundle by hand.
rm "$root/usr/lib/mask-kiosk/install.sh"
sed -i '/  install\.sh$/d' "$root/usr/lib/mask-kiosk/SHA256SUMS"

install -D -m 644 -t "$root/usr/lib/systemd/system" systemd/mask-kiosk.service
install -D -m 644 -t "$root/usr/lib/sysusers.d" systemd/sysusers.d/mask-kiosk.conf
install -D -m 644 -t "$root/usr/lib/tmpfiles.d" systemd/tmpfiles.d/mask-kiosk.conf
install -D -m 644 -t "$root/usr/lib/udev/rules.d" systemd/udev/60-mask-kiosk.rules
install -m 644 systemd/mask-kiosk.default "$root/etc/default/mask-kiosk"
echo /etc/default/mask-kiosk >"$root/DEBIAN/conffiles"
install -m 644 "$here/copyright" "$root/usr/share/doc/mask-kiosk/copyright"
install -m 644 "$here/lintian-overrides" "$root/usr/share/lintian/overrides/mask-kiosk"
date=$(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
gzip -9 -n >"$root/usr/share/doc/mask-kiosk/changelog.gz" <<END
mask-kiosk ($version) unstable; urgency=medium

  * What is new stands in /usr/lib/mask-kiosk/CHANGELOG.md.

 -- The mask-kiosk authors <mask-kiosk@localhost>  $date
END

# The parts of install.sh go into the scripts: postrm runs when /usr/lib/mask-kiosk is gone.
for script in postinst prerm postrm; do
  while IFS= read -r line; do
    if [[ $line == '#PARTS '* ]]; then
      for part in ${line#'#PARTS '}; do
        grep -v '^# shellcheck ' "deploy/install/$part.sh"
      done
    else
      printf '%s\n' "$line"
    fi
  done <"$here/$script" >"$root/DEBIAN/$script"
  chmod 755 "$root/DEBIAN/$script"
done
size=$(du -k --apparent-size -s "$root" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$debian/" -e "s/@SIZE@/$size/" \
  "$here/control.in" >"$root/DEBIAN/control"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort \
  | xargs -d '\n' md5sum >DEBIAN/md5sums)

# Quickly: almost all of it is compressed already.
out=build/dist/mask-kiosk_${version}_$debian.deb
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zgzip -z1 --build "$root" "$out" >/dev/null
echo "$out: $(($(stat -c %s "$out") / 1000000)) MB, sha256 $(sha256sum "$out" | cut -d' ' -f1)"
