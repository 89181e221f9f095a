#!/usr/bin/env bash
# The real thing, on real frames: import tiles in contiguous blocks, train, evaluate, export and promote
# through Dagster, serve, send every test tile over gRPC, compare.
#
#   benchmarks/accept_magnetic_tile.sh PATH/magnetic_tile [PATH/mobilenet_v2_1.0_224] [--json FILE]
#
# The limits below let a release happen on so few defective tiles; they are no claim. The figures are
# what is printed, with their intervals.
set -euo pipefail
data=$(realpath "$1"); shift
weights=""; [[ "${1:-}" == "" || "${1:-}" == --* ]] || { weights=$(realpath "$1"); shift; }
cd "$(dirname "$0")/.."
work="${WORK:-$PWD/.vision/magnetic_tile}" line=lab/tiles address=127.0.0.1:50152
export PATH="$PWD/.venv/bin:$PATH" VISION_STORE="$work/store" DAGSTER_HOME="$work/dagster"
mkdir -p "$work"
# A backbone beside the data is used when none is named.
[ -n "$weights" ] || weights="$(dirname "$(dirname "$data")")/weights/mobilenet_v2_1.0_224"
[ -d "$weights" ] || { echo "no backbone at $weights: name the folder as second argument"; exit 1; }

python benchmarks/tiles/table.py "$data" "$work/table/tiles.csv"
vision-assets import "$work/table/tiles.csv" --layout csv --line $line
cat >"$work/line.yaml" <<YAML
training: {backbone: $weights, height_px: 384, width_px: 384, epochs: 16, patience: 16, flips: true}
split: {tune: 0.08, calibrate: 0.12, test: 0.25}
costs: {escape: 10, overkill: 1, review: 0.3}
limits: {max_escape_rate: 0.5, max_overkill_rate: 0.5, max_review_share: 0.1, max_latency_ms: 500}
YAML
started=$(date +%s)
vision-assets run --line $line --config "$work/line.yaml" --promote
echo "lineage: $(($(date +%s) - started)) s"

vision-serve run --store "$VISION_STORE" --line $line --listen $address \
    --cache "$work/cache" --spool "$work/spool" 2>"$work/serve.log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 200); do
    vision-serve info --target $address >/dev/null 2>&1 && break
    kill -0 $server 2>/dev/null || { cat "$work/serve.log"; exit 1; }
    sleep 0.3
done
python benchmarks/tiles/compare.py $line $address "$@"
