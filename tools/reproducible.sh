#!/bin/sh
# Builds the release program of the last commit in two folders of different names and lengths, and compares the bytes.
# With a program as argument, in one folder, and compares with that program.
set -eu
repository=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build FOLDER
build() {
	mkdir -p "$1"
	git -C "$repository" archive HEAD | tar -x -C "$1"
	(
		cd "$1"
		unset CARGO_TARGET_DIR
		cargo build --quiet --release --locked --package corten
	)
}

first=${1-}
if [ -z "$first" ]; then
	build "$work/one"
	first=$work/one/target/release/corten
fi
build "$work/another-folder/of-another-length"
second=$work/another-folder/of-another-length/target/release/corten
sha256sum <"$first"
sha256sum <"$second"
if cmp "$first" "$second"; then
	echo "the same bytes"
else
	echo "not reproducible"
	exit 1
fi
