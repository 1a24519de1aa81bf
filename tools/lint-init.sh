#!/bin/sh
# Lints the init, which is not a crate of the workspace: the library's build script compiles it. The same lints as in
# Cargo.toml, as far as they make sense without std.
set -eu
cd "$(dirname "$0")/.."
deny=$(printf ' -D clippy::%s' undocumented_unsafe_blocks unwrap_used expect_used panic indexing_slicing mem_forget)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# shellcheck disable=SC2086 # the list is meant to be split
clippy-driver --edition 2024 --crate-name corten_init --crate-type bin --emit metadata --out-dir "$out" -C panic=abort \
	runtime-lib/init/main.rs -D warnings $deny
