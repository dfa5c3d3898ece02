#!/usr/bin/env bash
# Send requests through the HTTP gateway with curl 7.83 or newer.
#
#     STRAIGHTLINE_GATEWAY_URL=... STRAIGHTLINE_API_KEY=... ./request.sh [IDEMPOTENCY_KEY]
#
# Exit codes: 0 succeeded, 1 refused, gateway unreachable or ended otherwise, 4 no outcome in time.
set -euo pipefail

key=${1:-$(cat /proc/sys/kernel/random/uuid)}
zeros=$(printf '0,%.0s' {1..63})0
data='{"inputs": [{"name": "images", "shape": [1, 64], "datatype": "FP32", "data": ['$zeros']}]}'

# Prints the response body even for an error status, and then fails.
gateway() {
  curl --silent --show-error --fail-with-body --max-time 60 \
    --header "Authorization: Bearer $STRAIGHTLINE_API_KEY" "${@:2}" "$STRAIGHTLINE_GATEWAY_URL$1"
}

# 1. Call a model and wait. `timeout` is in microseconds. A repeated key, for example after a lost connection,
#    is the same request: it is computed once and answered with the first outcome.
gateway /v2/models/digits/infer --header "Idempotency-Key: $key" \
  --json "${data%\}}, \"parameters\": {\"timeout\": 30000000}}" || exit 1
echo

# 2. Submit without waiting: 202 with the URL of the request.
location=$(gateway /v2/models/digits/infer --header 'Prefer: respond-async' \
  --header "Idempotency-Key: $key-later" --json "$data" --output /dev/null --write-out '%header{location}') || exit 1

# 3. Poll its status.
for _ in {1..60}; do
  status=$(gateway "$location") || exit 1
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

# 4. Fetch the result.
gateway "$location/result" || exit 1
echo
