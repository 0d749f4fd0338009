#!/usr/bin/env bash
# Measures schema.sql on a PostgreSQL server of its own, and removes it afterwards.
#
#   bench/postgres/run.sh [seconds per measurement, default 10]
#
# The last line of stdout is JSON; progress goes to stderr. The server keeps its data
# below TMPDIR (default /tmp): that should be a real disk, or commits cost nothing.
set -euo pipefail

seconds=${1:-10}
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "$*" >&2; }
fail() { say "$*"; exit 1; }

# The newest of Debian's versions, or whatever is in PATH.
bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1 || true)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb || echo /nowhere/initdb)")
for program in initdb pg_ctl psql pgbench; do
    [ -x "$bin/$program" ] || fail "$program is missing; on Debian: apt-get install postgresql"
done

# PostgreSQL does not run as root.
as=()
if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || fail "run this as an ordinary user, or add a user named postgres"
    as=(runuser -u postgres --)
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/tandem-bench.XXXXXX")
cleanup() {
    "${as[@]}" "$bin/pg_ctl" stop -D "$work/data" -m immediate >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
cp "$here/schema.sql" "$work/"
[ ${#as[@]} = 0 ] || chown -R postgres "$work"
cd "$work"

# Reachable through a socket in $work only. Durable as in production; the other
# settings are what one gives a server that books in bulk.
run() { "${as[@]}" env LC_ALL=C PGHOST="$work" PGUSER=bench PGDATABASE=postgres "$@"; }
run "$bin/initdb" -D data -U bench --auth=trust --encoding=UTF8 >initdb.log || fail "$(cat initdb.log)"
cat >>data/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '$work'
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 1GB
max_wal_size = 8GB
checkpoint_timeout = 30min
END
run "$bin/pg_ctl" start -D data -l data/server.log -w >/dev/null || fail "$(cat data/server.log)"

query() { run "$bin/psql" -qAtX -v ON_ERROR_STOP=1 -c "$1"; }

cat >one.sql <<'END'
\set borrower random(1, 1000000000)
\set principal random(100000, 1100000)
CALL book_loan(:borrower, :principal, 1200, 12);
END
cat >many.sql <<'END'
CALL book_loans(1000);
END
chmod a+r one.sql many.sql

# measure <script> <clients>: transactions per second on a fresh schema, after which
# the books must balance and hold four postings for each loan.
measure() {
    query 'DROP SCHEMA public CASCADE; CREATE SCHEMA public' 2>/dev/null
    run "$bin/psql" -qX -v ON_ERROR_STOP=1 -f schema.sql >/dev/null
    query 'CHECKPOINT'
    local result tps
    result=$(run "$bin/pgbench" -n -M prepared -f "$1" -c "$2" -j 2 -T "$seconds" 2>pgbench.log) ||
        fail "$(cat pgbench.log)"
    tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$result" | tail -n 1)
    [ "$(query 'SELECT (SELECT sum(balance) FROM account) = 0 AND (SELECT sum(amount) FROM posting) = 0
        AND (SELECT count(*) FROM posting) = 4 * (SELECT count(*) FROM loan)')" = t ] ||
        fail "the peer's books do not balance: its figures mean nothing"
    echo "$tps"
}
whole() { awk '{ printf "%d", $1 + 0.5 }' <<<"$1"; }

say "one loan per call, 1 client, $seconds s"
one=$(measure one.sql 1)
say "one loan per call, 16 clients, $seconds s"
sixteen=$(measure one.sql 16)
# Several batches at once help on some machines only: the better figure counts.
say "1,000 loans per call, 1 client, $seconds s"
set_1=$(measure many.sql 1)
say "1,000 loans per call, 4 clients, $seconds s"
set_4=$(measure many.sql 4)
set_best=$(awk -v a="$set_1" -v b="$set_4" 'BEGIN { print 1000 * (a > b ? a : b) }')

printf '{"stored_procedure_1_client_per_s":%s,"stored_procedure_16_clients_per_s":%s,"set_based_1000_per_s":%s,"postgres_version":"%s"}\n' \
    "$(whole "$one")" "$(whole "$sixteen")" "$(whole "$set_best")" "$(query 'SHOW server_version')"
