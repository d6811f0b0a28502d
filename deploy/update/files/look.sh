# What is installed on a kiosk and how its service is, as NAME=VALUE lines. Changes nothing.
home=/opt/mask-kiosk
echo "Release=$(readlink "$home")"
echo "Bundle=$(cat "$home/.bundle" 2>/dev/null)"
echo "Version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$home/edge_app/__init__.py" 2>/dev/null)"
systemctl show mask-kiosk.service --property=ActiveState,MainPID,NRestarts,StatusText
