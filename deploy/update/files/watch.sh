# Watches the service for a while: it must stay active, in one process, and must not show a fault.
# Ends with 1 and one line when it does not. Changes nothing.
#
#   SECONDS_TO_WATCH, and BEFORE: what the light said before the update. A kiosk that showed FAULT
#   then (a dark shop at night) may go on showing it.
read_state() {
  active='' process='' said=''
  while IFS='=' read -r name value; do
    case $name in
      ActiveState) active=$value ;;
      MainPID) process=$value ;;
      StatusText) said=$value ;;
    esac
  done <<END
$(systemctl show mask-kiosk.service --property=ActiveState,MainPID,StatusText)
END
}

read_state
first=$process
left=$SECONDS_TO_WATCH
while :; do
  [ "$active" = active ] || { echo "the service is $active; it said: $said" >&2; exit 1; }
  [ "$process" = "$first" ] || { echo "the service started anew while watched: it keeps ending" >&2; exit 1; }
  [ "$left" -gt 0 ] || break
  left=$((left - 1))
  sleep 1
  read_state
done
case $BEFORE in FAULT*) exit 0 ;; esac
case $said in FAULT*) echo "the light shows $said" >&2; exit 1 ;; esac
