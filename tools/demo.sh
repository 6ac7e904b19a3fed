#!/bin/sh
# The news classifier end to end: generate a sample of headlines, train, serve, predict, stop.
set -eu
cd "$(dirname "$0")/.."
port=${PORT:-$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')}
folder=$(mktemp -d)
serving=
step() { printf '\n==> %s\n' "$*"; }
finish() {
    status=$?
    if [ -n "$serving" ]; then
        step "stopping the server"
        kill "$serving" 2>/dev/null && wait "$serving" && echo "stopped" || true
    fi
    rm -rf "$folder"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

# A folder of its own, because local_test/test_dir may hold a model that somebody has trained.
cp -R local_test/test_dir/input "$folder/input"
export TEST_DIR="$folder" PORT="$port"

step "1/4 making a sample of headlines"
.venv/bin/python -m byo_container.handlers.news.sample "$folder/input/data/training/newsCorpora.csv"

step "2/4 training: local_test/train_local.sh --local"
local_test/train_local.sh --local
ls -l "$folder/model"

step "3/4 serving: local_test/serve_local.sh --local, on port $port"
local_test/serve_local.sh --local &
serving=$!
local_test/await.sh "$serving"

step "4/4 predicting: local_test/predict.sh local_test/input.json"
cat local_test/input.json
answer=$(local_test/predict.sh local_test/input.json)
echo "$answer"
category=$(echo "$answer" | .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["result"])')
printf '\nThe headline is about: %s\n' "$category"
[ "$category" = "Health & Medicine" ]
