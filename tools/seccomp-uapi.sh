#!/bin/sh
# seccomp-uapi.sh DIRECTORY: unpacks the headers that the seccomp tables come from there, of Debian trixie's linux-libc-dev (one
# package for all architectures), and prints the directory for tools/seccomp-tables.py and SECCOMP_UAPI. It takes the package
# with apt, verified like any other, without touching the machine's own lists; MIRROR names another mirror.
set -eu
[ $# = 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
directory=$(realpath "$1")
mkdir -p "$directory/lists/partial" "$directory/archives/partial"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] ${MIRROR:-http://deb.debian.org/debian} trixie main" >"$directory/sources.list"
apt() {
	apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$directory/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$directory/lists" -o Dir::Cache="$directory" -o APT::Architecture=amd64 "$@" >&2
}
apt update
cd "$directory"
apt download linux-libc-dev
for package in linux-libc-dev_*.deb; do
	dpkg-deb -x "$package" "$directory/unpacked"
done
echo "$directory/unpacked/usr/lib/linux/uapi"
