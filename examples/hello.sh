#!/bin/sh
# Builds corten and runs a container with it, from a bundle made of nothing but the machine's busybox.
# As root.
set -eu
cd "$(dirname "$0")/.."

[ "$(id -u)" = 0 ] || {
	echo "hello.sh needs root" >&2
	exit 1
}
busybox=$(command -v busybox) || {
	echo "hello.sh needs busybox: apt-get install busybox-static" >&2
	exit 1
}
cargo build --release --package corten
corten=${CARGO_TARGET_DIR:-$PWD/target}/release/corten

# The bundle: a directory with a root file system and a config.json.
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
mkdir -p "$bundle/rootfs/bin"
cp "$busybox" "$bundle/rootfs/bin/busybox"
# One that is linked dynamically takes its libraries along.
for library in $(ldd "$busybox" 2>/dev/null | grep -o '/[^ ]*' || true); do
	cp --dereference --parents "$library" "$bundle/rootfs"
done
for applet in sh echo hostname id ps; do
	ln -s busybox "$bundle/rootfs/bin/$applet"
done
"$corten" spec --bundle "$bundle"

# The specification that `corten spec` writes runs a shell on a terminal: give it something to say instead.
sed -i -e 's|"terminal": true|"terminal": false|' \
	-e 's|^\t\t\t"sh"$|\t\t\t"sh", "-c", "echo Hello from a container; id; hostname; ps"|' "$bundle/config.json"

"$corten" run --bundle "$bundle" "hello-$$"
