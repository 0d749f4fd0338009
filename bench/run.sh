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
ours=$(cargo run --release --quiet -- bench book --applications "$applications")
echo "$ours"
ours=$(tail -n 1 <<<"$ours")
tables=$(mktemp -d "${TMPDIR:-/tmp}/tandem-bench.XXXXXX")
trap 'rm -rf "$tables"' EXIT
cargo run --release --quiet -- run examples/marketplace --data "$tables/book" --out "$tables" >/dev/null
peer=$(bench/postgres/run.sh "$tables" "$seconds" | tail -n 1)
decided=$(number "$ours" applications_per_s)
booked=$(number "$ours" loans_per_s)
[ -n "$decided" ] || { echo "tandem bench book printed no applications_per_s: $ours" >&2; exit 1; }

# Limits bind alike: of as many applications, as many become loans, to a fiftieth.
awk -v ours="$booked" -v decided="$decided" -v peer="$(number "$peer" whole_set_based_loans)" \
    'BEGIN { share = ours / decided; exit !(peer > share * 0.98 && peer < share * 1.02) }' ||
    { echo "the peer makes loans of another part of the applications: $ours $peer" >&2; exit 1; }

# Tandem's rate counts applications, decided by every lender; but for the last, the peers only book loans.
row() { awk -v name="$1" -v rate="$2" -v decided="$decided" -v booked="$booked" \
    'BEGIN { printf "%-42s %10d %12.1f x %12.1f x\n", name, rate, decided / rate, booked / rate }'; }
echo
printf '%-42s %10s %14s %14s\n' "" "a second" "applications" "loans booked"
row "Tandem, applications" "$decided"
row "Tandem, loans booked" "$booked"
row "PostgreSQL, one loan per call, 1 client" "$(number "$peer" stored_procedure_1_client_per_s)"
row "PostgreSQL, one loan per call, 16 clients" "$(number "$peer" stored_procedure_16_clients_per_s)"
row "PostgreSQL, 1,000 loans per call" "$(number "$peer" set_based_1000_per_s)"
row "PostgreSQL, 1,000 decided and booked" "$(number "$peer" whole_set_based_1000_per_s)"
