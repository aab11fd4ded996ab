#!/bin/sh
# Finds the Chromium that the browser tests drive, or installs one. $1: Python with playwright.
set -eu

# Run, not only found: Ubuntu's package is a stand-in that fails where there is no snap.
present() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if "$name" --version >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}

apt_get() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get "$@" </dev/null
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive apt-get "$@" </dev/null
    fi
}

if present; then
    exit 0
fi
if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "Installing Chromium with apt-get"
    if apt_get update && apt_get install -y --no-install-recommends chromium && present; then
        exit 0
    fi
fi
echo "Installing Playwright's own Chromium"
exec "$1" -m playwright install chromium
