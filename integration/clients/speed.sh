#!/bin/bash
# How long engines take with corten, runc and, where it is installed, crun: N containers of /bin/true each, one after the other, a
# container of each runtime in turn, so that a busy moment of the machine hits all of them.
#
#   integration/clients/speed.sh [N]      default 20; CORTEN=PATH for another corten than target/release/corten
#
# Packages: containerd docker.io runc crun busybox-static iptables iproute2 procps util-linux
export RUNTIME=${CORTEN:-corten}
# shellcheck source=engine.sh
. "$(dirname "$0")/engine.sh"
count=${1:-20}
isolate speed "$@"

declare -A program=([corten]=$runtime [runc]=/usr/sbin/runc)
names=(corten runc)
if [ -x /usr/bin/crun ]; then
	names+=(crun)
	program[crun]=/usr/bin/crun
	# It does not work with controllers in the cgroup2 of a hybrid hierarchy. So for all.
	[ -z "$(cat /sys/fs/cgroup/unified/cgroup.controllers 2>/dev/null)" ] || view_v1
fi

with_ctr() { /usr/bin/ctr -a /run/docker/containerd/containerd.sock -n "$group" run --rm --runc-binary "${program[$1]}" --rootfs "$work/image/rootfs" "$2" /bin/true; }
with_docker() { /usr/bin/docker -H unix:///run/docker.sock run --rm --runtime "$1-chosen" --network none busybox:test true; }

# measure WHAT FUNCTION
measure() {
	local -A spent=()
	local i one begin ratios=
	for one in "${names[@]}"; do "$2" "$one" "first-$one" && spent[$one]=0; done # the caches
	for i in $(seq "$count"); do
		for one in "${names[@]}"; do
			begin=${EPOCHREALTIME/./}
			"$2" "$one" "$one-$i"
			spent[$one]=$((spent[$one] + ${EPOCHREALTIME/./} - begin))
		done
	done
	for one in "${names[@]}"; do
		printf '%-22s %-7s %8.2f s for %d, %6.1f ms each\n' "$1" "$one" "$((spent[$one] / 10000))e-2" "$count" "$((spent[$one] / count))e-3"
	done
	for one in "${names[@]:1}"; do
		ratios+=$(awk -v a="${spent[corten]}" -v b="${spent[$one]}" -v n="$one" 'BEGIN { printf "  %.2f x %s", a / b, n }')
	done
	printf '%-22s corten:%s\n' "$1" "$ratios"
}

image_archive "$work/busybox.tar"
driver=overlay2 runtimes=
[ "$(stat -f -c %T "$work")" != overlayfs ] || driver=vfs
for one in "${names[@]}"; do runtimes+="${runtimes:+, }\"$one-chosen\": {\"path\": \"${program[$one]}\"}"; done
cat >"$work/daemon.json" <<E
{"data-root": "$work/docker", "exec-root": "/run/docker", "pidfile": "/run/docker.pid", "hosts": ["unix:///run/docker.sock"],
 "storage-driver": "$driver", "runtimes": {$runtimes}, "exec-opts": ["native.cgroupdriver=cgroupfs"], "cgroup-parent": "/$group"}
E
daemon_start dockerd /usr/sbin/dockerd --config-file "$work/daemon.json"
eventually /usr/bin/docker -H unix:///run/docker.sock version
/usr/bin/docker -H unix:///run/docker.sock load -qi "$work/busybox.tar" >/dev/null
measure 'containerd, ctr run' with_ctr
measure 'docker run' with_docker
