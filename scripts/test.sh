#!/bin/sh
# `npm test`: prepare what is missing, then become the test runner. Arguments filter test files by path.
set -u
cd "$(dirname "$0")/.." || exit 1
if ! node scripts/bootstrap.mjs test; then
  echo '0 passed, 1 failed, 0 skipped'
  exit 1
fi
exec "$(node scripts/pinned-node.mjs)" test/run.ts "$@"
