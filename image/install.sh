#!/usr/bin/env bash
# Installs the service into a virtual environment of its own: every file from the lock, checked by its hash, nothing
# compiled. The image's build stage runs it; a test runs the same into a clean folder.
#
#   image/install.sh PREFIX
set -euo pipefail
prefix=${1:?usage: image/install.sh PREFIX}
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
  -r requirements/build.lock

# Without pip: the image can run the service and cannot install anything else.
"$python" -m venv --without-pip "$prefix"
uv() { "$tools/venv/bin/uv" pip "$@" --quiet --python "$prefix/bin/python" --link-mode copy --compile-bytecode; }
uv install --require-hashes --only-binary :all: -r requirements/runtime.lock
"$tools/venv/bin/uv" build --quiet --wheel --no-build-isolation --python "$tools/venv/bin/python" -o "$tools/wheel" .
uv install --no-deps "$tools"/wheel/*.whl

# What is inside, for whoever asks the image (beside the metadata each package brings along).
install -D -m 0644 requirements/runtime.lock "$prefix/share/maas-api/requirements.lock"
