# shellcheck shell=bash
# A Docker daemon of our own. All it has is below one folder, in one group of processes and in mounts that only it sees,
# so that it can be removed without asking it, even if it was killed.

answers() { DOCKER_HOST=unix://$1/docker.sock quiet docker version; }
family() { echo "lifeboat-docker-$(echo "$1" | sha256sum | cut -c1-8)"; } # FOLDER: its control group

daemon_start() { # FOLDER FLAG...
  local at=$1; shift
  if answers "$at"; then return 0; fi
  [ "$(id -u)" = 0 ] || die "a Docker daemon needs root; start one, or name one in DOCKER_HOST"
  [ ${#at} -le 80 ] || die "the path $at is too long for sockets"
  need docker.io:dockerd containerd:containerd runc:runc iptables:iptables
  daemon_stop "$at" # what a killed one left
  mkdir -p "$at/own"/{containerd,docker,etc}
  claim_folders "$(family "$at")" /run/containerd /run/docker /etc/docker
  echo '{}' >"$at/config.json" # not the machine's own configuration
  # A session of its own: Ctrl-C where it was started is not meant for it. Mounts of its own: nothing stays mounted here.
  # shellcheck disable=SC2016 # for the inner shell
  setsid unshare --mount --propagation slave bash -c '
    mount --bind "$0/containerd" /run/containerd && mount --bind "$0/docker" /run/docker && mount --bind "$0/etc" /etc/docker &&
      exec dockerd "$@"' "$at/own" \
    --config-file "$at/config.json" --host "unix://$at/docker.sock" --data-root "$at/data" --exec-root "$at/run" \
    --pidfile "$at/docker.pid" --group root --storage-driver overlay2 --cgroup-parent "/$(family "$at")" \
    "$@" >"$at/dockerd.log" 2>&1 </dev/null 9>&- & # 9: a lock of `build`
  await 60 answers "$at" || die "no daemon: $(tail -n 3 "$at/dockerd.log")"
}

# shellcheck disable=SC2317  # called through await
gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }

groups_of() { # FOLDER: its control group in each hierarchy
  local c
  for c in /sys/fs/cgroup/ /sys/fs/cgroup/*/; do [ ! -d "$c$(family "$1")" ] || echo "$c$(family "$1")"; done
}

daemon_stop() { # FOLDER: ends the daemon, its containers and containerd; its data stays
  local at=$1 pid group
  # Containers first: the daemon would wait ten seconds for each.
  for group in $(groups_of "$at"); do # they may end meanwhile by themselves
    for pid in $(find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true); do kill -KILL "$pid" 2>/dev/null || true; done
  done
  pid=$(cat "$at/docker.pid" 2>/dev/null) || pid=
  # The number may be that of another process by now; ours was started with this folder.
  if [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF " $at/"; then
    kill "$pid" || true
    await 30 gone "$pid" || kill -KILL "$pid" || true
  fi
  for pid in $(pgrep -f "^(/usr/bin/)?containerd.* $at/(data|run)/"); do kill -KILL "$pid" 2>/dev/null || true; await 5 gone "$pid" || true; done
  for group in $(groups_of "$at"); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || say "not empty: $group"; done
  rm -f "$at/docker.pid" "$at/docker.sock"
  release_folders "$(family "$at")"
}
