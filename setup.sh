#!/usr/bin/env bash
# Installs what is missing: Debian packages, .venv, the pinned packages, the project.
# Called by `make setup`; safe to run again.
set -euo pipefail
cd "$(dirname "$0")"
PYTHON="${PYTHON:-python3}"

# ------------------------------------------------------------ Debian packages
# Packages that replaced these under other names on newer systems count as installed.
installed() {
  local name
  for name in "$1" "$1t64"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ]; then
      return 0
    fi
  done
  return 1
}

if command -v dpkg-query >/dev/null; then
  missing=()
  while read -r package _; do
    [[ -z "$package" || "$package" == \#* ]] && continue
    # Any way to have the program or module will do: pyenv's Python brings its own venv.
    case "$package" in
      python3-venv) "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null && continue ;;
      ffmpeg|make) command -v "$package" >/dev/null && continue ;;
    esac
    installed "$package" || missing+=("$package")
  done < requirements-sys.txt
  if [ "${#missing[@]}" -gt 0 ]; then
    line="apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" = 0 ]; then
      as=""
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as="sudo"
    else
      as="none"
    fi
    if [ "$as" = none ]; then
      echo "setup: these packages are missing; please run once:" >&2
      echo "    sudo apt-get update && sudo $line" >&2
      # ffmpeg has a substitute, the others have none.
      [ "${missing[*]}" = ffmpeg ] || exit 1
    else
      export DEBIAN_FRONTEND=noninteractive
      $as apt-get update -qq
      $as $line >/dev/null || {
        [ "${missing[*]}" = ffmpeg ] || exit 1
        echo "setup: no ffmpeg to be had; the imageio-ffmpeg package's is used" >&2
      }
    fi
  fi
fi

# ------------------------------------------------------- Python and its packages
"$PYTHON" - <<'END'
import sys
if sys.version_info < (3, 10):
    sys.exit(f"setup: Python 3.10 or newer is needed, {sys.version.split()[0]} came; "
             "name another: make setup PYTHON=python3.11")
END
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
# Every package is proved by its hash, and none looks for others, which might choose
# another torch. Only torch, whose builds differ, and what it computes with are not.
pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --no-deps --require-hashes --requirement requirements.lock
torch="$(grep -oE '^torch==[^ ]+' requirements.in)"
"${pip[@]}" --no-warn-conflicts "$torch" \
  ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
"${pip[@]}" --no-deps --no-build-isolation --editable .
echo "setup: done, $(.venv/bin/fmrgb --version)"
