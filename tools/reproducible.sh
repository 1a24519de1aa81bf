#!/bin/sh
# Builds the release program of the last commit in two folders of different names and lengths, and compares the bytes.
set -eu
repository=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in one another-folder/of-another-length; do
	mkdir -p "$work/$folder"
	git -C "$repository" archive HEAD | tar -x -C "$work/$folder"
	(
		cd "$work/$folder"
		unset CARGO_TARGET_DIR
		cargo build --quiet --release --locked --package corten
	)
	sha256sum <"$work/$folder/target/release/corten"
done
if cmp "$work/one/target/release/corten" "$work/another-folder/of-another-length/target/release/corten"; then
	echo "the same bytes"
else
	echo "not reproducible"
	exit 1
fi
