# Follows the distribution's presets on the first installation, and restarts on an upgrade.
if [ -x /usr/bin/systemctl ]; then
  systemctl daemon-reload >/dev/null 2>&1 || :
  if [ "$1" -eq 1 ]; then
    systemctl --no-reload preset wattprint.service >/dev/null 2>&1 || :
  fi
  if [ -d /run/systemd/system ]; then
    if [ "$1" -eq 1 ]; then
      # Only where the preset enabled it.
      if systemctl --quiet is-enabled wattprint.service 2>/dev/null; then
        systemctl start wattprint.service >/dev/null 2>&1 || :
      fi
    else
      systemctl try-restart wattprint.service >/dev/null 2>&1 || :
    fi
  fi
fi
