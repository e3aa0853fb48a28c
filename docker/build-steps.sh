#!/usr/bin/env bash
# The steps that the images are made of, for the Python environment that is active. The Docker files call them, and so does
# .ci/run in a clean virtual environment: all but `apex`, which needs a CUDA compiler and GitHub.
# Usage: bash docker/build-steps.sh STEP [ARGUMENT...]
#   torch                  torch and torchvision, from the index TORCH_INDEX where it is set
#   wheel FOLDER           a wheel of narsfast in FOLDER; NARSFAST_CUDA=ON gives it kernels for every kind of GPU
#   apex FOLDER            a wheel of NVIDIA's apex in FOLDER, built against the torch that is installed
#   install FOLDER EXTRAS  the wheels in FOLDER, with extras of narsfast
#   check [NAME=VALUE...]  whether narsfast works, and whether `narsfast doctor --json` has these facts
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
pip() { python -m pip --quiet "$@"; }

# The newest commit of apex when this was written; its build was not tried by us.
apex_commit=6424da3b4faa6c8f062da4a48c424fff3f02d42d

torch() {
  pip install -c "$root/constraints.txt" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
}

wheel() {
  pip wheel --no-deps --wheel-dir "$1" ${NARSFAST_CUDA:+-C "cmake.define.NARSFAST_CUDA=$NARSFAST_CUDA"} "$root"
}

apex() {
  local source
  source=$(mktemp -d)
  git -C "$source" init --quiet
  git -C "$source" fetch --quiet --depth 1 https://github.com/NVIDIA/apex.git "$apex_commit"
  git -C "$source" checkout --quiet FETCH_HEAD
  pip install setuptools wheel ninja packaging
  # A compilation may take several GB of memory: MAX_JOBS bounds how many go on at once. PTX for what comes later.
  TORCH_CUDA_ARCH_LIST="7.5;8.0;8.6;9.0;10.0;12.0+PTX" APEX_CPP_EXT=1 APEX_CUDA_EXT=1 MAX_JOBS="${MAX_JOBS:-4}" \
    pip wheel --no-deps --no-build-isolation --wheel-dir "$1" "$source"
  rm -rf "$source"
}

install() {
  local wheels=("$1"/*.whl)
  local own=("$1"/narsfast-*.whl)
  pip install -c "$root/constraints.txt" "${wheels[@]}" "${own[0]}[$2]"
}

check() {
  cd "$(mktemp -d)" # away from the sources
  narsfast doctor
  narsfast doctor --json | python -c '
import json, sys
facts = json.load(sys.stdin)
wrong = [fact for fact in sys.argv[1:] if str(facts[fact.partition("=")[0]]) != fact.partition("=")[2]]
sys.exit(f"narsfast doctor says otherwise than {wrong}" if wrong else 0)' "$@"
}

case ${1:-} in
  torch | wheel | apex | install | check) "$@" ;;
  *) sed -n '2,/^set/{/^#/p}' "$0" >&2 && exit 2 ;;
esac
