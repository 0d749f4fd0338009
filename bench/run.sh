#!/usr/bin/env bash
# Books loans with Tandem and with the PostgreSQL peer on the same machine and disk,
# and prints how they compare.
#
#   bench/run.sh [applications, default 1000000] [seconds per PostgreSQL measurement, default 10]
set -euo pipefail
cd "$(dirname "$0")/.."
applications=${1:-1000000}
seconds=${2:-10}

# number <json> <field>
number() { sed -n "s/.*\"$2\": *\([0-9.]*\).*/\1/p" <<<"$1"; }

cargo build --release
ours=$(cargo run --release --quiet -- bench book --applications "$applications" | tee /dev/stderr | tail -n 1)
peer=$(bench/postgres/run.sh "$seconds" | tail -n 1)
rate=$(number "$ours" applications_per_s)
[ -n "$rate" ] || { echo "tandem bench book printed no applications_per_s: $ours" >&2; exit 1; }

row() { awk -v name="$1" -v rate="$2" -v ours="$rate" \
    'BEGIN { printf "%-46s %12d %9.1f x\n", name, rate, ours / rate }'; }
echo
printf '%-46s %12s %11s\n' "" "loans per s" "Tandem is"
row "Tandem" "$rate"
row "PostgreSQL, one loan per call, 1 client" "$(number "$peer" stored_procedure_1_client_per_s)"
row "PostgreSQL, one loan per call, 16 clients" "$(number "$peer" stored_procedure_16_clients_per_s)"
row "PostgreSQL, 1,000 loans per call" "$(number "$peer" set_based_1000_per_s)"
