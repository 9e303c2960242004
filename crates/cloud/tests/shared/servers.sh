#!/bin/sh
# The servers of a cluster for one process of tests. They run until standard input ends, which it does with that
# process, however it ends; then they stop and leave nothing behind. Prints the directory and the address of NATS once
# all are there, and then a line for each line that it is told: `postgres start` or `postgres stop`.
set -eu

bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
# Debian keeps it where only root looks for programs.
nats_server=$(PATH=$PATH:/usr/sbin command -v nats-server)
directory=$(mktemp -d)

# Postgres refuses to run as root.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups "$@"
    else
        "$@"
    fi
}

stop() {
    trap - EXIT INT TERM
    stop_postgres 2>/dev/null || true
    [ -z "${nats:-}" ] || kill "$nats" 2>/dev/null || true
    rm -rf "$directory"
}
trap stop EXIT INT TERM

cd "$directory"
mkdir postgres s3
if [ "$(id -u)" = 0 ]; then
    chmod 755 "$directory"
    chown postgres postgres
fi

# A language whose order is not that of the bytes: what relies on bytes must say so itself.
as_postgres "$bin/initdb" --pgdata=postgres --username=tillwatch --auth=trust --encoding=UTF8 \
    --locale-provider=icu --icu-locale=en-US --locale=C.UTF-8 --no-sync >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
# One who is asked for a password.
echo 'local all stranger scram-sha-256' | cat - postgres/pg_hba.conf >pg_hba.conf
cat pg_hba.conf >postgres/pg_hba.conf
cat >>postgres/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '$directory/postgres'
max_connections = 500
shared_buffers = 32MB
fsync = off
full_page_writes = off
log_min_messages = fatal
END
start_postgres() {
    as_postgres "$bin/pg_ctl" --silent --wait --pgdata="$directory/postgres" --log="$directory/postgres/log" start \
        >/dev/null || { cat postgres/log >&2; exit 1; }
}

stop_postgres() {
    as_postgres "$bin/pg_ctl" --silent --pgdata="$directory/postgres" --mode=immediate stop >/dev/null
}

start_postgres
"$nats_server" -a 127.0.0.1 -p -1 --ports_file_dir "$directory" </dev/null >/dev/null 2>&1 &
nats=$!
ports=$directory/nats-server_$nats.ports
address=
while [ -z "$address" ]; do
    kill -0 "$nats"
    address=$(sed -n 's/.*"\(nats:[^"]*\)".*/\1/p' "$ports" 2>/dev/null || true)
    sleep 0.05
done
echo "$directory"
echo "$address"
while read -r line; do
    case $line in
    'postgres start') start_postgres ;;
    'postgres stop') stop_postgres ;;
    esac
    echo done
done
