#!/bin/sh
# The library under the sanitizers of a nightly toolchain (with rust-src: the standard library is instrumented as well), as root:
#
#     tools/sanitize.sh address    its unit tests, those of what the init and the launcher say to each other among them
#     tools/sanitize.sh thread     programs that embed it: containers from many threads, and from tokio; SEED and MIX as for library-mix
#
# A container's init is a program of its own, which is built without them.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
kind=${1:-}
shift || true
case $kind in
address) what='--lib' ;;
thread) what='--test mix --test embed' ;;
*)
    sed -n 's/^# \{0,1\}//p' "$0" | head -n 6
    exit 2
    ;;
esac
# With --target the build scripts, and the init that one of them builds, stay without.
# shellcheck disable=SC2086
RUSTFLAGS="-Zsanitizer=$kind" exec cargo +nightly test -Zbuild-std --target "$host" --target-dir "target/sanitize-$kind" \
    --package libcorten $what -- "$@"
