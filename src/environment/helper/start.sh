# Starts the server privately on the new data directory: the side folder is $1, its settings are $2, and it may take $3
# seconds. It listens inside of the helper only, so whoever can run a command there is let in without a password.
set -eu
cd "$1"
settings=$2
echo 'host all all 127.0.0.1/32 trust' >hba.conf
# Some systems keep a server's settings elsewhere, and a backup has none then.
if [ ! -e data/postgresql.conf ]; then
  : >none.conf
  settings="$settings -c config_file='$1/none.conf'"
fi
exec pg_ctl start -D data -w -t "$3" -l log -o "$settings -c hba_file='$1/hba.conf'"
