#!/usr/bin/env bash
# Build what is missing of the virtual environments: all four, or those that are named.
# Safe to interrupt and to repeat; when nothing is missing it takes a moment.
#
#   scripts/setup.sh [--dev] [--again] [env|transnet_env|audio_env|tracking_env …]
#
# --dev adds what the tests need. --again builds anew, whatever is there.
# PYTHON names the Python to build from (3.10 to 3.14).
set -euo pipefail
cd "$(dirname "$0")/.."
installer=envs/.installer

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3.10 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Derush needs Python 3.10 to 3.14. Install one, or name it: PYTHON=/path/to/python3 $0" >&2
    return 3
}

make_installer() { # the small environment that builds the four: pip, uv, and what reads the settings
    local python
    python=$(find_python)
    fresh=$(mktemp -d envs/.installer.XXXXXX)
    trap 'rm -rf "$fresh"' EXIT
    echo "Preparing the installer with $("$python" --version)" >&2
    if ! "$python" -m venv "$fresh" >/dev/null 2>&1 && ! uv venv --quiet --seed --clear --python "$python" "$fresh"; then
        echo "This Python cannot make virtual environments. Install your system's python3-venv (or uv), then run this again." >&2
        return 3
    fi
    "$fresh/bin/python" -m pip install --quiet --disable-pip-version-check python-dotenv==1.2.4 'tomli==2.5.0 ; python_version < "3.11"'
    "$fresh/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.8 ||
        echo "uv cannot be installed: the slower pip is used" >&2
    # The rename comes last: an interrupted preparation leaves nothing that looks finished.
    mv -T "$fresh" "$installer" 2>/dev/null || mv "$fresh" "$installer" 2>/dev/null || [ -x "$installer/bin/python" ]
}

[ -x "$installer/bin/python" ] || make_installer
exec "$installer/bin/python" -m services.environments "$@"
