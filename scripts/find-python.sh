#!/bin/sh
# Prints a Python that can hold Speechlane, or says what to install. Usage: find-python.sh [PYTHON]
#
# With PYTHON, only that one is looked at. A name on the PATH is no proof (version managers leave names that do not
# run), so each candidate must run and answer for itself. The upper end is where the pinned packages end: they have
# wheels up to 3.14, and a newer Python would start to compile them.
set -eu

probe='
import sys
found = "%d.%d" % sys.version_info[:2]
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit("is " + found)
try:
    import venv, ensurepip
except ImportError:
    sys.exit("is %s without venv and pip (on Debian and Ubuntu: apt install python%s-venv)" % (found, found))
'

refused=''
for candidate in ${1:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    path=$(command -v "$candidate") || continue
    # -E -s: neither variables nor the user's own packages have a say.
    if reason=$("$path" -E -s -c "$probe" 2>&1); then
        printf '%s\n' "$path"
        exit 0
    fi
    refused="$refused
  $path: $(printf '%s\n' "$reason" | head -n 1)"
done

cat >&2 <<END
Speechlane needs Python 3.11 to 3.14 with venv and pip. Found:${refused:- none}
Next step: install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13),
or name one: make setup PYTHON=/path/to/python3
END
exit 1
