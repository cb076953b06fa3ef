if [ -x /usr/bin/systemctl ]; then
  systemctl daemon-reload >/dev/null 2>&1 || :
fi
# rpm knows files only.
if [ "$1" -eq 0 ]; then
  for directory in /etc/wattprint /usr/share/wattprint /usr/share/doc/wattprint /usr/share/licenses/wattprint; do
    find "$directory" -depth -type d -empty -delete 2>/dev/null || :
  done
fi
