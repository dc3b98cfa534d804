# shellcheck shell=bash
# What `build`, `engine` and the test cluster share: folders and needed programs.
# shellcheck disable=SC2034  # used by the scripts that read this file

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
quiet() { "$@" >/dev/null 2>&1; }
# await SECONDS COMMAND...: until it succeeds
await() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done; }
# digest FILE...: what the files hold, in sixteen digits
digest() { cat "$@" | sha256sum | cut -c1-16; }

# The same folders that the program `lifeboat` uses.
if [ "$(id -u)" = 0 ]; then
  CACHE=${LIFEBOAT_CACHE:-/var/cache/lifeboat}
  STATE=${LIFEBOAT_STATE:-/var/lib/lifeboat}
else
  CACHE=${LIFEBOAT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lifeboat}
  STATE=${LIFEBOAT_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/lifeboat}
fi

# need PACKAGE:PROGRAM...: installs missing programs (Debian, as root), otherwise names them and fails.
need() {
  local pair lacking=()
  for pair; do PATH=$PATH:/usr/sbin:/sbin quiet command -v "${pair#*:}" || [ -e "${pair#*:}" ] || lacking+=("${pair%%:*}"); done
  [ ${#lacking[@]} -gt 0 ] || return 0
  if [ "$(id -u)" = 0 ] && quiet command -v apt-get; then
    say "installing ${lacking[*]}"
    quiet apt-get update || true
    DEBIAN_FRONTEND=noninteractive quiet apt-get install -y --no-install-recommends "${lacking[@]}" || die "cannot install: ${lacking[*]}"
  else
    die "these packages are missing: ${lacking[*]}"
  fi
}

# Folders of this machine that namespaces of ours mount something on. One that is removed while it is mounted on in some
# namespace is gone there too, so what was made for the first user is removed with the last.
MADE=/run/lifeboat
claim_folders() { # USER FOLDER...
  local user=$1 folder; shift
  (
    flock 8
    mkdir -p $MADE/users
    : >"$MADE/users/$user"
    for folder; do [ -d "$folder" ] || { mkdir -p "$folder"; echo "$folder" >>$MADE/made; }; done
  ) 8</run
}
release_folders() { # USER
  local folder
  (
    flock 8
    rm -f "$MADE/users/$1"
    [ -d $MADE ] && [ -z "$(ls $MADE/users)" ] || exit 0
    while read -r folder; do
      # `ip netns` mounts its folder on itself
      if [ "$folder" = /run/netns ] && [ -z "$(ls "$folder")" ]; then quiet umount "$folder" || true; fi
      rmdir "$folder" 2>/dev/null || true # unless another process uses it by now
    done < <(cat $MADE/made 2>/dev/null)
    rm -rf $MADE
  ) 8</run
}
