#!/bin/bash
# How long engines take with corten, runc and, where it is installed, crun: N containers of /bin/true each, one after the other, a
# container of each runtime in turn, so that a busy moment of the machine hits all of them.
#
#   integration/clients/speed.sh [N]      default 50; CORTEN=PATH for another corten than target/release/corten
#
# It fails when a promise of the README does not hold.
#
# Packages: containerd docker.io runc crun busybox-static iptables iproute2 procps util-linux
export RUNTIME=${CORTEN:-corten}
# shellcheck source=engine.sh
. "$(dirname "$0")/engine.sh"
count=${1:-50}
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

# measure WHAT FUNCTION: sets ratio[runtime], corten's total by its.
declare -A ratio
measure() {
	local -A spent=() all=()
	local i one begin took
	for one in "${names[@]}"; do "$2" "$one" "first-$one" && spent[$one]=0; done # the caches
	for i in $(seq "$count"); do
		for one in "${names[@]}"; do
			begin=${EPOCHREALTIME/./}
			"$2" "$one" "$one-$i"
			took=$((${EPOCHREALTIME/./} - begin))
			spent[$one]=$((spent[$one] + took)) all[$one]+="$took "
		done
	done
	for one in "${names[@]}"; do
		# shellcheck disable=SC2086
		printf '%-22s %-7s %8.2f s for %d, median %6.1f ms\n' "$1" "$one" "${spent[$one]}e-6" "$count" \
			"$(printf '%s\n' ${all[$one]} | sort -n | sed -n "$(((count + 1) / 2))p")e-3"
	done
	for one in "${names[@]:1}"; do ratio[$one]=$((spent[corten] * 100 / spent[$one])); done
	for one in "${names[@]:1}"; do printf '%-22s corten: %d %% of %s\n' "$1" "${ratio[$one]}" "$one"; done
}

# promise WHAT RUNTIME PERCENT
promise() {
	[ -n "${ratio[$2]-}" ] || return 0
	[ "${ratio[$2]}" -le "$3" ] && echo "holds: $1" || { echo "does not hold: $1"; broken=1; }
}
broken=0

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
promise 'a container through containerd is no slower than with crun' crun 100
promise 'a container through containerd is faster than with runc' runc 99
measure 'docker run' with_docker
promise 'docker run is faster than with runc' runc 99
exit $broken
