#!/usr/bin/env bash
# Ask through the HTTP gateway with curl, 7.83 or newer.
#
#     STRAIGHTLINE_GATEWAY_URL=... STRAIGHTLINE_API_KEY=... ./request.sh [IDEMPOTENCY_KEY]
#
# Exit codes: 0 answered, 1 refused, not reached or ended otherwise, 4 no outcome yet.
set -euo pipefail

key=${1:-$(cat /proc/sys/kernel/random/uuid)}
zeros=$(printf '0,%.0s' {1..63})0
data='{"inputs": [{"name": "images", "shape": [1, 64], "datatype": "FP32", "data": ['$zeros']}]}'

# Shows what was answered even where the status says that it failed, and then returns an error.
gateway() {
  curl --silent --show-error --fail-with-body --max-time 60 \
    --header "Authorization: Bearer $STRAIGHTLINE_API_KEY" "${@:2}" "$STRAIGHTLINE_GATEWAY_URL$1"
}

# 1. Ask a model and wait for its answer. `timeout` is in microseconds. The same key again, after a lost
#    connection for instance, is the same request: it is computed once and answered with the first outcome.
gateway /v2/models/digits/infer --header "Idempotency-Key: $key" \
  --json "${data%\}}, \"parameters\": {\"timeout\": 30000000}}" || exit 1
echo

# 2. Hand it in and come back later: 202, and where to ask for it.
where=$(gateway /v2/models/digits/infer --header 'Prefer: respond-async' \
  --header "Idempotency-Key: $key-later" --json "$data" --output /dev/null --write-out '%header{location}') || exit 1

# 3. How far is it?
for _ in {1..60}; do
  status=$(gateway "$where") || exit 1
  case $status in
  *'"state":"succeeded"'*) break ;;
  *'"state":"failed"'* | *'"state":"rejected"'* | *'"state":"expired"'* | *'"state":"cancelled"'*)
    echo "$status" >&2 # with `error_class` and `error`
    exit 1
    ;;
  esac
  sleep 0.5
done
case $status in *'"state":"succeeded"'*) ;; *) exit 4 ;; esac
echo "$status"

# 4. Its answer.
gateway "$where/result" || exit 1
echo
