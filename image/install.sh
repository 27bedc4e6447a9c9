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
pip() { "$tools/venv/bin/pip" --quiet --disable-pip-version-check --no-input "$@"; }
pip install --require-hashes --only-binary :all: -r requirements/build.lock

# Without pip: the image can run the service and cannot install anything else.
"$python" -m venv --without-pip "$prefix"
pip --python "$prefix/bin/python" install --no-compile --require-hashes --only-binary :all: -r requirements/runtime.lock
pip wheel --no-deps --no-build-isolation --wheel-dir "$tools/wheel" .
pip --python "$prefix/bin/python" install --no-compile --no-deps --no-index "$tools"/wheel/*.whl

# Bytecode that is right whatever the files' times are: a copy into the last stage may change them, and there nothing
# can be written, so that each start would compile everything anew.
"$prefix/bin/python" -m compileall -q --invalidation-mode unchecked-hash -j 0 "$prefix/lib"

# What is inside, for whoever asks the image (beside the metadata each package brings along).
install -D -m 0644 requirements/runtime.lock "$prefix/share/maas-api/requirements.lock"
