#!/bin/sh
# `npm start`: prepare what is missing, then become `postern standalone`. Arguments go to it.
set -eu
cd "$(dirname "$0")/.."
node scripts/bootstrap.mjs start
if [ "$(id -u)" != 0 ]; then
  # The system's folders are root's; the control plane alone runs in the user's own.
  POSTERN_STATE_DIR=${POSTERN_STATE_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/postern}
  POSTERN_RUN_DIR=${POSTERN_RUN_DIR:-${XDG_RUNTIME_DIR:-$POSTERN_STATE_DIR/run}/postern}
  export POSTERN_STATE_DIR POSTERN_RUN_DIR
fi
exec ./postern standalone "$@"
