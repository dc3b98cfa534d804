# What is done to a data directory and to the new one beside it: the word for it is $1, the data directory is $2, the
# server's user is $3. Beside DATA lie DATA.side with the parts `data` and `wal`, and after a swap DATA.before.
set -eu
live=$2 user=$3
side=$live.side before=$live.before fresh=$live.side/data above=${live%/*}
mark=lifeboat.restored # in a data directory that was made by a restore and not settled yet

refuse() {
  echo "$1" >&2
  exit 1
}
there() { if [ -e "$2" ]; then echo "$1 yes"; fi; }

case $1 in
look)
  postgres --version
  if [ -e "$live/PG_VERSION" ]; then echo "major $(cat "$live/PG_VERSION")"; fi
  there side "$side"
  there swapped "$live/$mark"
  there before "$before"
  df -P -k "$above" | tail -n 1 | while read -r _ _ _ free _; do echo "free $free"; done
  ;;
make)
  for folder in "$side" "$fresh" "$side/wal"; do install -d -o "$user" -m 700 "$folder"; done
  ;;
swap)
  [ ! -e "$before" ] || refuse "\`$before\` is there from an earlier one"
  [ -e "$fresh/PG_VERSION" ] || refuse "there is no restored directory at the side"
  rm -f "$live/$mark" # of a swap in whose place nothing had been
  : >"$fresh/$mark"
  chown "$user" "$fresh/$mark"
  sync "$fresh/$mark" "$fresh"
  if [ -e "$live" ]; then mv "$live" "$before"; fi
  mv "$fresh" "$live"
  sync "$above"
  ;;
put-back)
  [ -e "$before" ] || exit 0
  if [ -e "$live/$mark" ]; then
    mkdir -p "$side"
    rm -rf "$side/refused"
    mv "$live" "$side/refused"
  fi
  if [ ! -e "$live" ]; then mv "$before" "$live"; fi
  sync "$above"
  ;;
clear)
  rm -rf "$side"
  ;;
settle)
  # Only once the new one is in its place; the mark goes last, so that a second attempt knows it again.
  if [ -e "$live/$mark" ]; then rm -rf "$before"; fi
  rm -f "$live/$mark"
  ;;
*)
  refuse "nobody knows what $1 is"
  ;;
esac
