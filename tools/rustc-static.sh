#!/bin/sh
# Cargo calls this as `rustc-static.sh RUSTC ARGS…` for every crate (.cargo/config.toml).
#
# Programs are linked statically: nothing of the host is loaded into a program that runs as root, and it starts faster
# (docs/decisions/0002-static-executable.md). The flags cannot stand in `rustflags`, which would reach proc-macros as
# well, and those must be dynamic.
#
# A release build does not depend on the folders it happens in: the compiler is told other names for them. These flags
# would change the names of the crates' symbols if cargo knew of them, since they differ from folder to folder.
previous= program= release= script= libseccomp=
for arg; do
	case $previous=$arg in
	--crate-type=bin) program=1 ;;
	-C=opt-level=*) release=1 ;;
	--cfg='feature="libseccomp"') libseccomp=1 ;;
	*=-Zsanitizer=*) exec "$@" ;; # fuzzing: the sanitizers need the dynamic libc
	--crate-name=build_script_*) script=1 ;;
	--crate-name=___) exec "$@" ;; # cargo asks what the compiler can do
	esac
	previous=$arg
done
# Where libseccomp has no archive, its users are dynamic programs.
[ -z "$libseccomp" ] || case $(${CC:-cc} -print-file-name=libseccomp.a) in /*) ;; *) program= ;; esac
if [ -n "$release" ]; then
	# the last that matches counts: the workspace, the crate (of a registry, below someone's home), what its build script wrote
	set -- "$@" --remap-path-prefix="$PWD=/build" --remap-path-prefix="$CARGO_MANIFEST_DIR=/$CARGO_PKG_NAME-$CARGO_PKG_VERSION"
	[ -z "${OUT_DIR-}" ] || set -- "$@" --remap-path-prefix="$OUT_DIR=/$CARGO_PKG_NAME-$CARGO_PKG_VERSION/out"
fi
if [ -n "$program" ] && [ -z "$script" ]; then
	set -- "$@" -C target-feature=+crt-static -C relocation-model=static
fi
exec "$@"
