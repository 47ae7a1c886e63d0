#!/bin/sh
# `npm start`: prepare what is missing, then become `postern standalone`. Arguments go to it.
set -eu
cd "$(dirname "$0")/.."
node scripts/bootstrap.mjs start
exec ./postern standalone "$@"
