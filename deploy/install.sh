#!/usr/bin/env bash
# Puts the kiosk on a Raspberry Pi, or on any other computer with 64-bit Debian 12 or 13.
#
#   sudo deploy/install.sh               install, or update to this version
#   sudo deploy/install.sh --offline     the same without network, from an unpacked offline bundle
#   sudo deploy/install.sh --uninstall   remove everything but the journal of events
#
# It asks nothing and may be run again at any time: what is there already is left alone, and a run
# that was cut anywhere is completed. A new version is built beside the old one and takes its place at
# once; when its service is not healthy in a minute, the old one comes back.
#
# Exit codes: 0 all well; 1 something failed, the last line says what to do; 2 not possible here,
# nothing was changed.
set -euo pipefail
umask 022
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

TREE=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=install/common.sh
. "$TREE/deploy/install/common.sh"
# shellcheck source=install/refuse.sh
. "$TREE/deploy/install/refuse.sh"
# shellcheck source=install/system.sh
. "$TREE/deploy/install/system.sh"
# shellcheck source=install/release.sh
. "$TREE/deploy/install/release.sh"
# shellcheck source=install/service.sh
. "$TREE/deploy/install/service.sh"
# shellcheck source=install/uninstall.sh
. "$TREE/deploy/install/uninstall.sh"

main() {
  local offline='' uninstall='' word
  for word in "$@"; do
    case $word in
      --offline) offline=1 ;;
      --uninstall) uninstall=1 ;;
      *) refuse "unknown option: $word; there are --offline and --uninstall" ;;
    esac
  done
  require_root
  if [[ $uninstall ]]; then
    one_at_a_time
    uninstall
    return
  fi
  require_system
  [[ -z $offline ]] || require_bundle
  require_no_package
  one_at_a_time
  require_resources "$offline"

  install_packages "$offline"
  install_user
  install_files
  install_settings
  build_release "$offline"
  activate
}

main "$@"
