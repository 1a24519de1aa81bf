#!/bin/sh
# The library under the sanitizers of a nightly toolchain, as root:
#
#     tools/sanitize.sh address    its unit tests, those of what the init and the launcher say to each other among them
#     tools/sanitize.sh thread     programs that embed it: containers from many threads, and from tokio; SEED and MIX as for library-mix
#                                (rust-src: what the standard library shares between threads has to be instrumented as well)
#
# A container's init is a program of its own, which is built without them.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
kind=${1:-}
[ $# = 0 ] || shift
case $kind in
address) std= what='--lib' ;;
# All but two tests, which read all memory of a process: with ThreadSanitizer that has terabytes of it.
thread) std=-Zbuild-std what='--test mix --test embed' && set -- --skip knows_nothing_of --skip know_nothing_of "$@" ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
# With --target the build scripts, and the init that one of them builds, stay without.
# shellcheck disable=SC2086
RUSTFLAGS="-Zsanitizer=$kind" exec cargo +nightly test $std --target "$host" --target-dir "target/sanitize-$kind" \
    --package libcorten $what -- "$@"
