# Stops the service when the last version goes, not on an upgrade.
if [ "$1" -eq 0 ] && [ -x /usr/bin/systemctl ]; then
  systemctl --no-reload disable --now wattprint.socket wattprint.service >/dev/null 2>&1 || :
fi
