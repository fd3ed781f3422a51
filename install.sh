#!/bin/sh
# Install the versions of a lock file into a virtual environment, and the command fovea; or the project's extras in
# those versions.
#
#   sh install.sh VENV LOCK
#   sh install.sh VENV --extras 'ray onnx'
#
# uv, itself a package with a locked hash, installs. Where uv cannot be had or cannot install, pip does it. INSTALLER=pip leaves uv out.
set -eu
cd "$(dirname "$0")"
venv=$1
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }

# uv does not read pip's configuration.
configuration=$("$venv/bin/python" -m pip config list 2>/dev/null || true)
setting() { printf '%s\n' "$configuration" | sed -n "s/^[^.]*\.$1='\(.*\)'\$/\1/p" | head -1; }
export_setting() { # variable of uv, value; what the user set stays
  if [ -n "$2" ] && [ -z "$(printenv "$1" || true)" ]; then export "$1=$2"; fi
}
export_setting UV_DEFAULT_INDEX "$(setting index-url)"
export_setting UV_INDEX "$(setting extra-index-url)"
export_setting UV_FIND_LINKS "$(setting find-links | tr ' ' ',')"
export_setting SSL_CERT_FILE "$(setting cert)"
export_setting UV_INDEX_STRATEGY unsafe-best-match # as pip searches; hashes decide what is installed

uv_is_there() {
  [ "${INSTALLER:-uv}" = uv ] && pip install --only-binary :all: --require-hashes -r requirements-uv.lock >/dev/null 2>&1
}
uv() { "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "$@"; }

with_uv() {
  if [ "$2" = --extras ]; then
    uv --no-build-isolation --constraint requirements-dev.lock --editable ".[$extras]"
  else
    uv --require-hashes --requirement "$2" && uv --no-deps --no-build-isolation --editable .
  fi
}
with_pip() {
  if [ "$2" = --extras ]; then
    # pip wants a hash for everything as soon as one thing has one.
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
    echo "error: EXTRAS must name some of $(echo "$known" | sed 's/ /, /g'), got '${3:-}'" >&2
    exit 1
  fi
  extras=$(echo "$3" | tr ' ' ',')
fi
if uv_is_there && with_uv "$@"; then exit; fi
[ "${INSTALLER:-uv}" = pip ] || echo "uv cannot be used here; pip takes longer" >&2
with_pip "$@"
