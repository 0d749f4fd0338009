#!/usr/bin/env bash
# Measures schema.sql and whole.sql on a PostgreSQL server of its own, and removes it afterwards.
#
#   bench/postgres/run.sh TABLES [seconds per measurement, default 10]
#
# TABLES is the folder that `tandem run examples/marketplace --out TABLES` wrote: the peer decides
# the same applications, and must come to the same decisions.
#
# The last line of stdout is JSON; progress goes to stderr. The server keeps its data
# below TMPDIR (default /tmp): that should be a real disk, or commits cost nothing.
set -euo pipefail
shopt -s inherit_errexit

tables=${1:?give the folder that tandem run wrote}
seconds=${2:-10}
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
for file in "$here/schema.sql" "$here/whole.sql" "$tables/applications.csv" "$tables/decisions.csv" "$tables/shares.csv"; do
    cp "$file" "$work/" || fail "$file cannot be read: run tandem run examples/marketplace --out $tables"
done
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
cat >whole_many.sql <<'END'
CALL apply_and_book(1000);
END
chmod a+r ./*.sql

# Limits bind as in Tandem, in proportion to the applications, whose number is known before, therefore.
sets=$((20 * seconds))
psql_file() { run "$bin/psql" -qX -v ON_ERROR_STOP=1 -v times="$sets / 10.0" -f "$1" >/dev/null; }

# The books must balance and hold four postings for each loan.
loans_hold='SELECT (SELECT sum(balance) FROM account) = 0 AND (SELECT sum(amount) FROM posting) = 0
    AND (SELECT count(*) FROM posting) = 4 * (SELECT count(*) FROM loan)'
# Every party's books must balance, limits be kept, every set be chained, every lender have decided
# as it does in Tandem, and every loan be shared as there until a limit binds.
whole_holds="SELECT (SELECT bool_and(total = 0) FROM (SELECT sum(balance) AS total FROM joint_account
        GROUP BY party) AS parties)
    AND (SELECT sum(amount) FROM joint_posting) = 0
    AND (SELECT bool_and(used <= most) FROM joint_limit)
    AND (SELECT count(*) FROM application) = 1000 * $sets
    AND (SELECT set FROM head) = $sets
    AND (SELECT count(*) FROM judged(1, 10000) AS said, told
        WHERE (asked).application = told.application
        AND said.outcome[lender_place] = told.outcome AND said.score[lender_place] = told.score
        AND said.reasons[lender_place] = told.reasons
        AND (told.outcome <> 'approve'
            OR said.maximum[lender_place] = told.maximum AND said.rate[lender_place] = told.rate)
    ) = (SELECT count(*) FROM told)
    AND (SELECT count(*) > 0 AND bool_and(parts[lender_place] = part)
        FROM joint_loan JOIN application ON number = joint_loan.application
        JOIN lent ON lent.application = split_part(key, '/', 1)
        WHERE NOT barred && '{7.1,7.2,7.3,7.4,7.5}')"

# measure <schema> <script> <clients> <check> [calls]: transactions per second on a fresh schema.
measure() {
    query 'DROP SCHEMA public CASCADE; CREATE SCHEMA public' 2>/dev/null
    psql_file "$1"
    query 'ANALYZE'
    query 'CHECKPOINT'
    local result tps until=(-T "$seconds")
    [ -z "${5:-}" ] || until=(-t $(($5 / $3)))
    result=$(run "$bin/pgbench" -n -M prepared -f "$2" -c "$3" -j 2 "${until[@]}" 2>pgbench.log) ||
        fail "$(cat pgbench.log)"
    tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$result" | tail -n 1)
    [ "$(query "$4")" = t ] || fail "the peer's books are wrong: its figures mean nothing"
    echo "$tps"
}
# thousands <schema> <script> <check> [calls]: rows a second in sets of 1,000. Several sets at once help on
# some machines only: the better figure counts.
thousands() {
    local one four
    one=$(measure "$1" "$2" 1 "$3" "${4:-}")
    four=$(measure "$1" "$2" 4 "$3" "${4:-}")
    awk -v a="$one" -v b="$four" 'BEGIN { print 1000 * (a > b ? a : b) }'
}
whole() { awk '{ printf "%d", $1 + 0.5 }' <<<"$1"; }

say "one loan per call, 1 client, $seconds s"
one=$(measure schema.sql one.sql 1 "$loans_hold")
say "one loan per call, 16 clients, $seconds s"
sixteen=$(measure schema.sql one.sql 16 "$loans_hold")
say "1,000 loans per call, 1 and 4 clients, $seconds s each"
set_based=$(thousands schema.sql many.sql "$loans_hold")
say "1,000 applications per call, decided, shared and booked, 1 and 4 clients, $sets calls each"
decided=$(thousands whole.sql whole_many.sql "$whole_holds" "$sets")
booked=$(query 'SELECT (SELECT count(*) FROM joint_loan) / (SELECT count(*) FROM application)::float8')

printf '{"stored_procedure_1_client_per_s":%s,"stored_procedure_16_clients_per_s":%s,"set_based_1000_per_s":%s,"whole_set_based_1000_per_s":%s,"whole_set_based_loans":%s,"postgres_version":"%s"}\n' \
    "$(whole "$one")" "$(whole "$sixteen")" "$(whole "$set_based")" "$(whole "$decided")" "$booked" "$(query 'SHOW server_version')"
