#!/bin/sh
# Makes the environment in .venv and installs `$1` ("." to run the pipeline, ".[dev]" to change it), exact versions from
# constraints.txt. With uv if there is one, else with venv and pip. $PYTHON names an interpreter; else one is looked for.
set -eu
venv=.venv
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

# The first that runs: pyenv puts a python3.11 into the PATH that only says it is not the chosen one.
for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    "$candidate" -c "$new_enough" 2>/dev/null && python=$candidate && break
done

if [ -z "${python:-}" ] && { [ -n "${PYTHON:-}" ] || ! uv --version >/dev/null 2>&1; }; then
    found=${PYTHON:+$PYTHON is not}
    cat >&2 <<TEXT
ig-pipeline needs Python 3.11 or newer; ${found:-there is none in the PATH}. One of these helps:
  Debian, Ubuntu   apt install python3.11 python3.11-venv
  macOS            brew install python@3.11
  anywhere         uv, which fetches a Python by itself: https://docs.astral.sh/uv/
  another place    make PYTHON=/path/to/python3.11
TEXT
    exit 1
fi

echo "Installing into $venv; the first time takes a minute or two …" >&2
# One that lost its interpreter, has an old one or was left half made is made anew.
"$venv/bin/python" -c "$new_enough" 2>/dev/null || rm -rf "$venv"
if uv --version >/dev/null 2>&1; then
    [ -d "$venv" ] || uv venv --quiet --python "${python:-3.11}" "$venv"
    exec uv pip install --quiet --python "$venv/bin/python" -c constraints.txt -e "$1"
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$python has no venv or ensurepip, which make the environment. Debian, Ubuntu: apt install python3-venv" >&2
        echo "(python3.11-venv for a python3.11 beside the system's). Or install uv: https://docs.astral.sh/uv/" >&2
        exit 1
    fi
    "$python" -m venv "$venv"
fi
exec "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$1"
