#!/bin/sh
# Install the locked packages and the command fovea into a virtual environment, or install the project's extras in
# their locked versions.
#
#   sh install.sh VENV LOCK
#   sh install.sh VENV --extras 'ray onnx'
#
# The packages are installed with uv, which is itself installed with its locked hash. If uv is not available or fails, pip
# is used. INSTALLER=pip skips uv.
set -eu
cd "$(dirname "$0")"
venv=$1
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }

# uv does not read pip's configuration, so pass its settings on.
configuration=$("$venv/bin/python" -m pip config list 2>/dev/null || true)
setting() { printf '%s\n' "$configuration" | sed -n "s/^[^.]*\.$1='\(.*\)'\$/\1/p" | head -1; }
export_setting() { # uv variable, value; variables set by the user are kept
  if [ -n "$2" ] && [ -z "$(printenv "$1" || true)" ]; then export "$1=$2"; fi
}
export_setting UV_DEFAULT_INDEX "$(setting index-url)"
export_setting UV_INDEX "$(setting extra-index-url)"
export_setting UV_FIND_LINKS "$(setting find-links | tr ' ' ',')"
export_setting SSL_CERT_FILE "$(setting cert)"
export_setting UV_INDEX_STRATEGY unsafe-best-match # same index search as pip; hashes determine what is installed

uv_is_there() {
  [ "${INSTALLER:-uv}" = uv ] && pip install --only-binary :all: --require-hashes -r requirements-uv.lock >/dev/null 2>&1
}
uv() { "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "$@"; }

with_uv() {
  if [ "$2" = --extras ]; then
    uv --no-build-isolation --constraint requirements-dev.lock --editable ".[$extras]"
  else
    # Bytecode makes each start faster, above all where PYTHONDONTWRITEBYTECODE is set. pip compiles by default.
    uv --compile-bytecode --require-hashes --requirement "$2" && uv --no-deps --no-build-isolation --editable .
  fi
}
with_pip() {
  if [ "$2" = --extras ]; then
    # If one requirement has a hash, pip requires hashes for all of them.
    sed -e '/--hash=/d' -e 's/ *\\$//' requirements-dev.lock >"$venv/constraints.txt"
    pip install --no-build-isolation --constraint "$venv/constraints.txt" --editable ".[$extras]"
  else
    pip install --require-hashes --requirement "$2" && pip install --no-deps --no-build-isolation --editable .
  fi
}

if [ "$2" = --extras ]; then
  known=$("$venv/bin/python" -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"])')
  for name in ${3:-''}; do
    case " $known " in *" $name "*) ;; *) wrong=$name ;; esac
  done
  if [ -z "${3:-}" ] || [ -n "${wrong:-}" ]; then
    echo "error: EXTRAS: must be one or more of $(echo "$known" | sed 's/ /, /g'), got '${3:-}'" >&2
    exit 1
  fi
  extras=$(echo "$3" | tr ' ' ',')
fi
if uv_is_there && with_uv "$@"; then exit; fi
[ "${INSTALLER:-uv}" = pip ] || echo "uv failed or is not available; falling back to pip, which is slower" >&2
with_pip "$@"
