#!/usr/bin/env bash
# Dagster's web UI, daemon and code location on this machine; stops with Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
export VISION_STORE="${VISION_STORE:-$PWD/.vision/store}" DAGSTER_HOME="${DAGSTER_HOME:-$PWD/.vision/dagster}"
port="${PORT:-3000}"
mkdir -p "$DAGSTER_HOME"
[ -e "$DAGSTER_HOME/dagster.yaml" ] || cp deploy/dagster.yaml "$DAGSTER_HOME/dagster.yaml"
# On a taken port the old server would go on answering, with old code.
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "port $port is taken, perhaps by an earlier UI: stop it, or give another one: make ui PORT=3001"
    exit 1
fi
echo "Dagster's UI will be at http://127.0.0.1:$port (some seconds); Ctrl-C stops it"
exec dagster dev -w workspace.yaml -h 127.0.0.1 -p "$port"
