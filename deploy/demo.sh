#!/usr/bin/env bash
# The main job, seen from the outside: render a line, train it through Dagster, promote the release,
# serve it, and send it frames it has never seen. Finished steps are found again on a second run.
set -euo pipefail
cd "$(dirname "$0")/.."
export VISION_STORE="${VISION_STORE:-$PWD/.vision/store}" DAGSTER_HOME="${DAGSTER_HOME:-$PWD/.vision/dagster}"
line=turin/press-3 address=127.0.0.1:50151 today="$PWD/.vision/today"

# Bold on a terminal, plain in a file.
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

say "1/4  Rendering three shifts of parts on line $line"
for shift in 1 2 3; do
    [ -e "$VISION_STORE/landing/$line/shift-$shift/_COMPLETE" ] ||
        vision-assets simulate --line $line --batch shift-$shift --frames 300 --defect-rate 0.3 --seed $shift |
        sed '/^next: /d' # the demo goes on by itself
done

say "2/4  Ingest, labels, snapshot, model, evaluation, bundle, release (Dagster; minutes the first time)"
vision-assets run --line $line --promote | sed '/^next: /d'

say "3/4  Serving the release on $address"
vision-serve run --store "$VISION_STORE" --line $line --listen $address \
    --cache "$PWD/.vision/cache" --spool "$PWD/.vision/spool" 2>"$PWD/.vision/serve.log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    vision-serve info --target $address >/dev/null 2>&1 && break
    kill -0 $server 2>/dev/null || { cat "$PWD/.vision/serve.log"; exit 1; }
    sleep 0.3
done

say "4/4  Twelve parts of the next shift go past the camera"
[ -e "$today/landing/$line/shift-4/_COMPLETE" ] ||
    VISION_STORE="$today" vision-assets simulate --line $line --batch shift-4 --frames 12 \
        --defect-rate 0.4 --seed 44 >/dev/null
vision-serve inspect --target $address "$today/landing/$line/shift-4/frames"
say "What the labels of these parts say"
python - "$today/landing/$line/shift-4/labels.jsonl" <<'PY'
import json, os, sys
for row in map(json.loads, open(sys.argv[1])):
    print(f"  {os.path.basename(row['file']):<22} {row['label']} {' '.join(row.get('classes', []))}")
PY
program=$(command -v vision-assets)
say "Next: 'make ui' shows the lineage; '${program#"$PWD"/} releases $line' the ledger; docs/guides/first-line.md your own images"
