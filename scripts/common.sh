# shellcheck shell=bash
# Shared by the scripts of this folder: sourced, never run. Leaves the shell in the top folder of the tree, whatever
# the caller's folder, locale, stdin and environment are.

set -euo pipefail
unset CDPATH
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
exec </dev/null
export LC_ALL=C.UTF-8
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
umask 022

log_dir=$root/build/logs
jobs=$(nproc)

fail() {
  printf 'scripts/%s: %s\n' "$(basename -- "$0")" "$*" >&2
  exit 1
}

# usage FILE: the comment block at the head of a script is its help text.
usage() { sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//p}' "$1"; }

# seconds_since EPOCHREALTIME: with one decimal.
seconds_since() {
  local us=$((${EPOCHREALTIME/./} - ${1/./}))
  printf '%d.%d' $((us / 1000000)) $((us / 100000 % 10))
}

# attempt NAME COMMAND...: runs one stage, its output in build/logs/NAME.log, and prints one line with its duration; a
# failure prints the log's tail too. Sets stage_rc, stage_seconds and stage_log. It must not be called from a condition: bash would
# ignore `set -e` within the stage.
attempt() {
  local name=$1 started=$EPOCHREALTIME
  shift
  stage_log=$log_dir/${name//[^a-zA-Z0-9]/-}.log
  mkdir -p -- "$log_dir"
  printf '== %s ... ' "$name"
  set +e
  (set -e && "$@") >"$stage_log" 2>&1
  stage_rc=$?
  set -e
  stage_seconds=$(seconds_since "$started")
  if ((stage_rc == 0)); then
    printf '%s s\n' "$stage_seconds"
  else
    printf 'FAILED after %s s (exit status %d)\n' "$stage_seconds" "$stage_rc"
    tail -n "${STEP1X_LOG_TAIL:-40}" -- "$stage_log" | sed 's/^/   | /'
    printf '   log: %s\n' "$stage_log"
  fi
}

# stage NAME COMMAND...: as attempt, and the script ends with the failing stage named.
stage() {
  attempt "$@"
  ((stage_rc == 0)) || fail "stage '$1' failed; its whole log is $stage_log"
}

# Compiler results live in the build folder, so that they survive where only that folder is kept.
use_ccache() {
  export CCACHE_DIR="${CCACHE_DIR:-$root/build/ccache}"
  export CCACHE_BASEDIR="${CCACHE_BASEDIR:-$root}"
}

# configure PRESET [OPTIONS]: one of CMakePresets.json, with the libtorch that the environment names now.
configure() { cmake --preset "$@" ${STEP1X_TORCH_DIR:+"-DSTEP1X_TORCH_DIR=$STEP1X_TORCH_DIR"}; }

# build PRESET [BUILD_PRESET]: configures too.
build() {
  configure "$1"
  cmake --build --preset "${2:-$1}" --parallel "$jobs"
}
