#!/bin/bash
# image.sh NAME FOLDER OUT.tar CONFIGURATION: packs a folder as an image of one layer, without an engine.
# The archive is as `docker save` writes it; the same folder gives the same bytes.
set -euo pipefail
name=$1 rootfs=$2 out=$3 config=$4
work=$(mktemp -d "$out.XXXX"); trap 'rm -rf "$work"' EXIT
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$rootfs" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$config" "$layer" >"$work/config.json"
printf '[{"Config":"config.json","RepoTags":["%s:local"],"Layers":["layer.tar"]}]' "$name" >"$work/manifest.json"
tar --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$work" -cf "$out.part" manifest.json config.json layer.tar
mv "$out.part" "$out"
