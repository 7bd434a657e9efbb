#!/usr/bin/env bash
# The quick tests with the oldest packages that pyproject.toml allows, in .venv-oldest.
# torch stays the pinned one: older builds for a processor alone are in no registry.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv-oldest/bin/python
list=.venv-oldest/oldest.txt
"${PYTHON:-python3}" -m venv .venv-oldest
.venv-tools/bin/uv pip compile --quiet pyproject.toml requirements.in --extra all \
    --resolution lowest-direct --python-version "$($python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" \
    --no-annotate --no-emit-package torch --output-file "$list"
pip=("$python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" "$(grep -oE '^torch==[^ ]+' requirements.in)" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
"${pip[@]}" --no-deps --requirement "$list"
"${pip[@]}" einops flask flask-cors hypothesis "moto[s3]" pytest pytest-timeout torchmetrics webdataset
"${pip[@]}" --no-deps --editable .
# Old packages are warned of by their own newer companions, which is no fault of ours.
exec "$python" -m pytest -q -p no:cacheprovider -W ignore::DeprecationWarning \
    -W ignore::FutureWarning -W ignore::UserWarning "$@"
