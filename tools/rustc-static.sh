#!/bin/sh
# Cargo calls this as `rustc-static.sh RUSTC ARGS…` for the crates of this workspace (.cargo/config.toml). Programs
# are linked statically: nothing of the host is loaded into a program that runs as root, and it starts faster
# (docs/decisions/0002-static-executable.md). The flags cannot stand in `rustflags`, which would reach proc-macros as
# well, and those must be dynamic.
previous= program= libseccomp=
for arg; do
	case $previous=$arg in
	--crate-type=bin) program=1 ;;
	--cfg='feature="libseccomp"') libseccomp=1 ;;
	*=-Zsanitizer=*) exec "$@" ;; # fuzzing: the sanitizers need the dynamic libc
	--crate-name=build_script_* | --crate-name=___) exec "$@" ;; # ___: cargo asks what the compiler can do
	esac
	previous=$arg
done
[ -n "$program" ] || exec "$@"
# Where the C library has no archive, its users are dynamic programs.
[ -z "$libseccomp" ] || case $(${CC:-cc} -print-file-name=libseccomp.a) in /*) ;; *) exec "$@" ;; esac
exec "$@" -C target-feature=+crt-static -C relocation-model=static
