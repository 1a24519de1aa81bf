#!/bin/bash
# Runs containers with Podman on a runtime, and says for each thing that Podman asks of it whether it worked:
#
#   integration/clients/podman.sh [RUNTIME]      a path or a name, default target/release/corten; runc is the control
#
# Root; packages: podman conmon catatonit netavark golang-github-containers-common busybox-static util-linux bsdextrautils
# Exits with 0 when all of it worked. Everything happens in mount, network and pid namespaces of its own, which take what is left with them.
set -euo pipefail

if [ -z "${PODMAN_TEST_INSIDE-}" ]; then
	runtime=$(command -v "${1:-target/release/corten}") || { echo "${1:-target/release/corten}: not found" >&2; exit 2; }
	work=$(mktemp -d)
	group=corten-podman-$$
	clean() {
		find /sys/fs/cgroup -type d -path "*/$group*" -depth -exec rmdir {} + 2>/dev/null || true
		rm -rf "$work"
	}
	trap clean EXIT
	export PODMAN_TEST_INSIDE=1
	code=0
	unshare --mount --net --pid --fork --kill-child --propagation private \
		"$0" "$(realpath -s "$runtime")" "$work" "/$group" || code=$?
	exit $code
fi

runtime=$1 work=$2 group=$3
name=$(basename "$runtime")
mount -t proc proc /proc
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p "$work/etc" "$work/root"

# Only the settings of this script count.
cat >"$work/etc/containers.conf" <<E
[containers]
default_ulimits = ["nofile=$(ulimit -Sn):$(ulimit -Hn)", "nproc=$(ulimit -Su):$(ulimit -Hu)"]
log_driver = "k8s-file"
[engine]
runtime = "$name"
cgroup_manager = "cgroupfs"
events_logger = "file"
# Podman reads the reason of a failure, and so tells 126 and 127, only from runtimes of this list.
runtime_supports_json = ["$name"]
[engine.runtimes]
$name = ["$runtime"]
E
cat >"$work/etc/storage.conf" <<E
[storage]
driver = "vfs"
graphroot = "$work/root"
runroot = "/run/containers/storage"
E
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/etc/policy.json"
: >"$work/etc/registries.conf"
mkdir -p /etc/containers
mount --bind "$work/etc" /etc/containers
export CONTAINERS_CONF=/etc/containers/containers.conf

image=$work/image
mkdir -p "$image"/{bin,etc,proc,sys,dev,tmp,run}
cp "$(command -v busybox)" "$image/bin/busybox"
for applet in $(busybox --list); do [ -e "$image/bin/$applet" ] || ln -s busybox "$image/bin/$applet"; done
echo 'root:x:0:0::/root:/bin/sh' >"$image/etc/passwd"
echo text >"$image/etc/not-a-program"
tar -C "$image" -c . | podman import --quiet --change 'ENV PATH=/bin' - busybox:test >/dev/null

passed=0 failed=0

# podman run with what every container here has.
run() {
	podman run --rm --network none --cgroup-parent "$group" "$@"
}

# The same on a terminal of its own.
terminal() {
	local command="podman run --rm --network none --cgroup-parent $group $*"
	# An input that does not end: script would hang up.
	script -qec "$command" /dev/null 2>&1 < <(sleep 30) | tr -d '\r' || true
}

# is NAME EXPECTED ACTUAL
is() {
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
		printf 'ok      %s\n' "$1"
	else
		failed=$((failed + 1))
		printf 'NOT OK  %s\n        expected: %s\n        found:    %s\n' "$1" "${2//$'\n'/\\n}" "${3//$'\n'/\\n}"
	fi
}

# says NAME EXPECTED ARGUMENTS…: what a container prints, standard error included, and its exit code if it is not 0.
says() {
	local name=$1 expected=$2 output code=0
	shift 2
	output=$(run "$@" 2>&1 </dev/null) || code=$?
	[ $code = 0 ] || output="$output [exit code $code]"
	is "$name" "$expected" "$output"
}

# exits NAME CODE ARGUMENTS…
exits() {
	local name=$1 expected=$2 output code=0
	shift 2
	output=$(run "$@" 2>&1 </dev/null) || code=$?
	[ $code = "$expected" ] || output=": ${output}"
	is "$name" "$expected" "$code$([ $code = "$expected" ] || echo "$output")"
}

data=$work/data
mkdir "$data"
echo inside >"$data/file"

says 'output' hello busybox:test echo hello
exits 'exit code 7' 7 busybox:test sh -c 'exit 7'
exits 'killed by TERM' 143 --pid host busybox:test sh -c 'kill -TERM $$; sleep 1'
exits 'a program that is not there: 127' 127 busybox:test /no/such/program
exits 'a name that is not in PATH: 127' 127 busybox:test no-such-program
exits 'a file that is no program: 126' 126 busybox:test /etc/not-a-program
is 'standard input' abc "$(echo abc | run -i busybox:test cat 2>&1)"
is 'a terminal' /dev/pts/0 "$(terminal -it busybox:test tty)"
says 'a volume' inside -v "$data:/data" busybox:test cat /data/file
says 'a volume is written to' '' -v "$data:/data" busybox:test sh -c 'echo new > /data/new'
is 'and the file is on the host' new "$(cat "$data/new" 2>&1)"
exits 'a read-only volume' 1 -v "$data:/data:ro" busybox:test touch /data/x
exits 'a read-only root' 1 --read-only busybox:test touch /x
says 'but /tmp' '' --read-only busybox:test touch /tmp/x
says 'a tmpfs' tmpfs --tmpfs /mnt busybox:test stat -fc %T /mnt
says 'the user' '1000 1001' --user 1000:1001 busybox:test sh -c 'echo $(id -u) $(id -g)'
says 'additional groups' '0 5 6' --group-add 5 --group-add 6 busybox:test id -G
says 'environment and directory' '/tmp b' -w /tmp -e a=b busybox:test sh -c 'echo $PWD $a'
says 'host name' box --hostname box busybox:test hostname
says 'no capabilities' $'CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000' \
	--cap-drop all busybox:test grep -E 'Cap(Inh|Prm|Eff)' /proc/self/status
says 'no new privileges' $'NoNewPrivs:\t1' --security-opt no-new-privileges busybox:test grep NoNewPrivs /proc/self/status
says 'sysctl' 1 --sysctl net.ipv4.ip_forward=1 busybox:test cat /proc/sys/net/ipv4/ip_forward
says 'a device' '1 5' --device /dev/zero:/dev/nought busybox:test stat -c '%t %T' /dev/nought
says 'rlimits' 77 --ulimit nofile=77:77 --ulimit "nproc=$(ulimit -Su):$(ulimit -Hu)" busybox:test sh -c 'ulimit -n'
says 'masked paths' 0 busybox:test sh -c 'cat /proc/keys /proc/timer_list | wc -c'
says 'init' podman-init --init --entrypoint '' busybox:test sh -c 'cat /proc/1/comm'
says "the host's pid namespace" yes --pid host busybox:test sh -c "[ \$\$ -gt 1 ] && echo yes"
says 'privileged' yes --privileged busybox:test sh -c 'mount -t tmpfs tmpfs /mnt 2>/dev/null || mkdir /mnt && mount -t tmpfs tmpfs /mnt && echo yes'

# The version 1 name, or the version 2 one.
limit() {
	run "${@:3}" busybox:test sh -c "cat /sys/fs/cgroup/$1 2>/dev/null || cat /sys/fs/cgroup/$2" 2>&1 </dev/null || true
}
if grep -q memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null || [ -d /sys/fs/cgroup/memory ]; then
	is 'memory limit' 67108864 "$(limit memory/memory.limit_in_bytes memory.max --memory 64m)"
	is 'pids limit' 50 "$(limit pids/pids.max pids.max --pids-limit 50)"
	is 'cpus' 50000 "$(limit cpu/cpu.cfs_quota_us cpu.max --cpus 0.5 | cut -d' ' -f1)"
else
	echo 'left out: limits, there are no controllers'
fi

id=$(run -d --name life busybox:test sh -c 'trap "exit 3" TERM; echo begun; while :; do sleep 0.1; done' 2>&1) || true
sleep 1
is 'detached: running' true "$(podman inspect --format '{{.State.Running}}' life 2>&1)"
is 'detached: logs' begun "$(podman logs life 2>&1)"
podman stop -t 5 life >/dev/null 2>&1 || true
# conmon removes it, after stop has returned.
for _ in $(seq 50); do podman container exists life || break; sleep 0.1; done
is 'detached: gone after stop' 1 "$(podman container exists life; echo $?)"

podman create --name made --network none --cgroup-parent "$group" \
	busybox:test sh -c 'exit 5' >/dev/null
podman start made >/dev/null 2>&1 || true
is 'create, start, wait' 5 "$(podman wait made 2>&1)"
is 'start once more' 5 "$(podman start -a made >/dev/null 2>&1; echo $?)"
podman rm -f made >/dev/null 2>&1 || true

run -d --name long busybox:test sleep 1000 >/dev/null 2>&1 || true
is 'exec' in "$(podman exec long echo in 2>&1 || true)"
is 'kill' 137 "$( (sleep 1; podman kill long >/dev/null 2>&1 || true) & podman wait long 2>&1 || true)"
is 'nothing is left' '' "$(podman ps -aq 2>&1)"

printf '%s: %d ok, %d not ok\n' "$name" "$passed" "$failed"
[ "$failed" = 0 ]
