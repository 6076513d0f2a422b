#!/bin/sh
# Writes the digest that each image's tag has in its registry today behind the tag, in the Dockerfile and compose.yaml.
# All of this was written where no registry is reached: until it has run, the tags stand alone.
set -eu
cd "$(dirname "$0")"
docker buildx version >/dev/null 2>&1 || { echo "This needs docker with buildx." >&2; exit 1; }
edits=$(mktemp)
trap 'rm -f "$edits"' EXIT
for image in $(sed -nE 's/^(FROM|    image:) +([^ @]+).*/\2/p' Dockerfile compose.yaml | sort -u); do
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image") || {
        echo "$image: its registry does not answer; nothing was changed." >&2
        exit 1
    }
    printf 's#^(FROM|    image:) +%s(@[^ ]+)?#\\1 %s@%s#\n' "$image" "$image" "$digest" >>"$edits"
    echo "$image@$digest"
done
sed -E -i -f "$edits" Dockerfile compose.yaml
