# shellcheck shell=bash
# What the scripts of `physical.rs` call.
sql() { psql -qtAX -v ON_ERROR_STOP=1 "$@"; }
# Ends what an earlier script left: the restored server, and what would keep or archive the log.
quiet() {
  if [ -f restored/data/postmaster.pid ]; then $AS_SERVER pg_ctl -D restored/data -m immediate -w stop >/dev/null || true; fi
  sql -c "ALTER SYSTEM SET archive_command = 'true'" -c "SELECT pg_reload_conf()" \
    -c "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active" \
    -c "DROP TABLE IF EXISTS bench_mistake" -c CHECKPOINT >/dev/null
}
new() { rm -rf "$@"; mkdir "$@"; if [ -n "$AS_SERVER" ]; then chown --reference="$SERVER_DATA" "$@"; fi; }
change() { sql -p "$1" -c "UPDATE metrics SET value = value + 1 WHERE run_uuid IN (SELECT run_uuid FROM runs ORDER BY run_uuid OFFSET $2 LIMIT greatest(1, (SELECT count(*) FROM runs) / 100))"; }
# What the changed rows hold.
digest() { sql -p "$1" -c "SELECT sum(hashtext(run_uuid || step || value)) FROM metrics WHERE run_uuid IN (SELECT run_uuid FROM runs ORDER BY run_uuid LIMIT 10)"; }
# One percent changes, the moment is noted, and a mistake follows.
disaster() { # SIDE
  sleep 1.2 # pgBackRest knows the end of a backup to the second, and wants the moment behind it
  change "$PGPORT" 0
  digest "$PGPORT" >"digest.$1"
  sql -c "SELECT clock_timestamp() AT TIME ZONE 'UTC'" >"moment.$1"
  sleep 0.2
  sql -c "CREATE TABLE bench_mistake ()" -c "SELECT pg_switch_wal()" >/dev/null
}
# Starts the restored server; returns when it answers and takes writes.
begin() {
  $AS_SERVER pg_ctl -D restored/data -l restored/log -w -t 600 start >/dev/null -o "-p $RESTORED_PORT $LEAST -c archive_mode=off \
    -c unix_socket_directories= -c listen_addresses=127.0.0.1 -c dynamic_shared_memory_type=mmap" ||
    { grep -E 'FATAL|ERROR' restored/log | tail -n 2 >&2; return 1; }
  until [ "$(sql -p "$RESTORED_PORT" -c "SELECT pg_is_in_recovery()")" = f ]; do sleep 0.05; done
  sql -p "$RESTORED_PORT" -c "SELECT count(*) FROM runs" >/dev/null
}
ours() { rm -rf restored/data; "$LIFEBOAT" restore physical.yaml --to "$(sed 's/ /T/; s/$/Z/' moment.ours)" --into-directory restored/data; begin; }
stanza() { $AS_SERVER pgbackrest --config="$PWD/pgbackrest/conf" --stanza=bench "$@"; }
peer() {
  stanza restore --pg1-path="$PWD/restored/data" --type=time --target="$(cat moment.peer)+00" --target-action=promote \
    --archive-mode=off "$@"
  begin
}
# What must be so in the restored server.
right() { # SIDE
  [ "$(sql -p "$RESTORED_PORT" -c "SELECT count(*) FROM metrics")" = "$ROWS" ]
  [ -z "$(sql -p "$RESTORED_PORT" -c "SELECT to_regclass('bench_mistake')")" ]
  [ "$(digest "$RESTORED_PORT")" = "$(cat "digest.$1")" ]
}
