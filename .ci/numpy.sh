#!/usr/bin/env bash
# Puts NumPy into .cache/python, for the check of traces in Python, unless this Python has
# it. Without it that one check is skipped, so this never fails a build.
set -euo pipefail
cd "$(dirname "$0")/.."

target=.cache/python
if PYTHONPATH=$target python3 -c 'import numpy' 2>/dev/null; then
	exit 0
fi

mkdir -p .cache
tmp=$(mktemp -d .cache/numpy.XXXXXX)
trap 'rm -rf "$tmp"' EXIT

python=python3
if ! python3 -c 'import pip' 2>/dev/null; then
	python=$tmp/venv/bin/python # a Python without pip brings one for its environments
	python3 -m venv "$tmp/venv" || python=false
fi
if PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --target "$tmp/python" 'numpy>=1.24,<3'; then
	rm -rf "$target"
	mv "$tmp/python" "$target"
	echo "$target"
else
	echo "no NumPy (see above): the check of traces in Python will be skipped" >&2
fi
