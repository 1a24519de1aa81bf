#!/bin/bash
# containerd: containers of a containerd of our own, by ctr and containerd-shim-runc-v2, whose runtime is RUNTIME. See engine.sh and README.md.
#
# Packages: containerd busybox-static iproute2 jq procps util-linux bsdextrautils
# shellcheck source=engine.sh
. "$(dirname "$0")/engine.sh"
# shellcheck disable=SC2034
QUICK=(readme run detached exec terminal pause metrics limits events daemon_restart failed_start)
isolate containerd "$@"
controllers || { echo 'ctr sets cpu shares, and the cgroups have no controllers here'; exit 2; }

address=/run/containerd/containerd.sock
# The namespace is also the cgroup that containers are made in.
ctr() { timeout --foreground "$PATIENCE" /usr/bin/ctr -a $address -n "$group" "$@"; }
run() { ctr run --rm --runc-binary "$runtime" --snapshotter native "$@"; }
start() { ctr run -d --runc-binary "$runtime" --snapshotter native "$@"; }
image=docker.io/library/busybox:test

daemon() {
	cat >"$work/config.toml" <<-E
		version = 2
		root = "$work/containerd"
		state = "/run/containerd"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		address = "$address"
	E
	daemon_start containerd /usr/bin/containerd -c "$work/config.toml"
	eventually /usr/bin/ctr -a $address --connect-timeout 5s version
}

before() { :; }

after() {
	local id
	for id in $(ctr task ls -q); do
		ctr task resume "$id" 2>/dev/null || true
		ctr task rm -f "$id" >/dev/null 2>&1 || true
	done
	for id in $(ctr container ls -q); do ctr container rm "$id" >/dev/null; done
}

nothing_left() {
	after
	eventually no_cgroups_left
	is '' "$(find /run/containerd/runc /run/containerd/io.containerd.runtime.v2.task -mindepth 2 2>/dev/null)"
	is '' "$(pgrep -f "containerd-shim-runc-v2 -namespace $group" || true)"
}

status() { ctr task ls | awk -v id="$1" '$1 == id { print $3 }'; }
# In the cgroup of a container as the host sees it.
group_file() { cat "/sys/fs/cgroup/$2/$group/$1/$3" 2>/dev/null || cut -d' ' -f1 "/sys/fs/cgroup/$group/$1/$4"; }

scenario_run() {
	says hello run $image box echo hello
	exits 7 run $image box sh -c 'exit 7'
	says '/mnt b' run --cwd /mnt --env a=b $image box sh -c 'echo $PWD $a'
	is 1000000 "$(run $image box head -c 1000000 /dev/zero | wc -c)"
	says err run $image box sh -c 'echo err >&2'
	exits 0 run --net-host $image box true
	fails '*ead-only*' run --read-only $image box touch /x
	mkdir -p "$work/data"
	echo inside >"$work/data/file"
	says inside run --mount "type=bind,src=$work/data,dst=/data,options=rbind:ro" $image box cat /data/file
	says tmpfs run --mount "type=tmpfs,src=tmpfs,dst=/mnt" $image box stat -fc %T /mnt
}

scenario_readme() {
	local line
	line=$(readme_lines --runc-binary)
	line=${line#ctr } line=${line/IMAGE/--snapshotter native $image} line=${line/ID/box} line=${line/COMMAND/echo hello}
	# shellcheck disable=SC2086
	says hello ctr $line
}

scenario_by_path() {
	# ctr containers create has no flag for the program: the first `runc` of containerd's PATH.
	ctr container create --snapshotter native $image box sleep 1000
	ctr task start -d box
	says RUNNING status box
	is "$(readlink -f "$runtime")" "$(readlink -f "$(PATH=$PATH command -v runc)")"
	ctr task kill -s KILL box
	becomes STOPPED status box
	ctr task rm box >/dev/null 2>&1 || true
	ctr container rm box
}

scenario_detached() {
	start $image box sleep 1000
	says RUNNING status box
	like '*sleep*' "$(ps -o args= -p "$(ctr task ps box | awk 'NR == 2 { print $1 }')")"
	ctr task kill -s TERM box 2>/dev/null
	ctr task kill -s KILL box
	becomes STOPPED status box
	like '*exit code 137*' "$(ctr task rm box 2>&1)"
}

scenario_exec() {
	start $image box sleep 1000
	says in ctr task exec --exec-id one box echo in
	exits 9 ctr task exec --exec-id two box sh -c 'exit 9'
	says /mnt ctr task exec --exec-id three --cwd /mnt box pwd
	says 1000 ctr task exec --exec-id four --user 1000 box id -u
	fails '*no-such-program*' ctr task exec --exec-id five box no-such-program
	# ctr may still say that it cannot resize the terminal of what has ended.
	like '*/dev/pts/0*' "$(terminal "timeout --foreground $PATIENCE /usr/bin/ctr -a $address -n $group task exec -t --exec-id six box tty")"
	ctr task exec -d --exec-id seven box sleep 1001
	becomes 2 sh -c "timeout $PATIENCE /usr/bin/ctr -a $address -n $group task ps box | grep -c '^[0-9]'"
	ctr task kill -s KILL --exec-id seven box
	becomes 1 sh -c "timeout $PATIENCE /usr/bin/ctr -a $address -n $group task ps box | grep -c '^[0-9]'"
}

scenario_execs_at_once() {
	local i pids=()
	start $image box sleep 1000
	for i in $(seq 20); do
		ctr task exec --exec-id "e$i" box sh -c "exit $i" &
		pids+=($!)
	done
	ended_with_their_numbers "${pids[@]}"
}

scenario_terminal() {
	local ctr="timeout --foreground $PATIENCE /usr/bin/ctr -a $address -n $group run --rm --runc-binary $runtime --snapshotter native -t $image box"
	like '*/dev/pts/0*' "$(terminal "$ctr tty")"
	like '*code=4*' "$(terminal "$ctr sh -c 'exit 4'; echo code=\$?")"
	like '*sized*' "$(terminal "stty rows 33 cols 77; $ctr sh -c 'until [ \"\$(stty size)\" = \"33 77\" ]; do sleep 0.1; done; echo sized'")"
}

scenario_kill() {
	start $image box sh -c 'trap "exit 3" TERM; mkdir /tmp/ready; while :; do sleep 0.1; done'
	eventually ctr task exec --exec-id ready box test -d /tmp/ready
	ctr task kill -s TERM box
	becomes STOPPED status box
	like '*exit code 3*' "$(ctr task rm box 2>&1)"
	ctr container rm box
	start $image all sh -c 'sleep 1000 & sleep 1001 & wait'
	ctr task kill -s KILL -a all
	becomes STOPPED status all
}

scenario_pause() {
	start $image box sleep 1000
	ctr task pause box
	says PAUSED status box
	fails '*' ctr task exec --exec-id one box true
	ctr task resume box
	says RUNNING status box
	says in ctr task exec --exec-id two box echo in
}

scenario_metrics() {
	needs_controllers
	start --memory-limit 67108864 $image box sleep 1000
	like '*67108864*' "$(ctr task metrics --format json box)"
}

scenario_limits() {
	needs_controllers
	start --memory-limit 67108864 --cpus 0.5 --cpu-shares 512 $image box sleep 1000
	says 67108864 group_file box memory memory.limit_in_bytes memory.max
	says 50000 group_file box cpu cpu.cfs_quota_us cpu.max
	says 512 sh -c "cat /sys/fs/cgroup/cpu/$group/box/cpu.shares 2>/dev/null || echo 512"
}

# A specification of the caller's, with what ctr has no flags for.
scenario_own_specification() {
	start $image box sleep 1000
	ctr container info --spec box | jq '
		.process.args = ["sh", "-c", "ulimit -n; cat /proc/self/oom_score_adj; grep -w Seccomp: /proc/self/status; exec sleep 1000"]
		| .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 99, hard: 99}] | .process.oomScoreAdj = 300
		| .linux.resources.pids = {limit: 44} | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW"} | .linux.cgroupsPath = "/'"$group"'/own"
		| .root.path = "'"$work"'/image/rootfs"' >"$work/spec.json"
	ctr run -d --runc-binary "$runtime" --config "$work/spec.json" --log-uri "file://$work/own.log" own
	becomes $'99\n300\nSeccomp:\t2' cat "$work/own.log"
	says 44 group_file own pids pids.max pids.max
}

scenario_events() {
	timeout "$PATIENCE" /usr/bin/ctr -a $address -n "$group" events >"$work/events" 2>&1 &
	local events=$!
	eventually sh -c "timeout $PATIENCE /usr/bin/ctr -a $address -n $group run --rm --runc-binary $runtime --snapshotter native $image first true && grep -q '/tasks/exit.*first' $work/events"
	exits 3 run $image box sh -c 'exit 3'
	for event in create start exit delete; do
		eventually grep -q "/tasks/$event .*\"box\"" "$work/events"
	done
	grep -q '/tasks/exit .*"exit_status":3' "$work/events"
	kill $events
}

scenario_oom() {
	needs_controllers
	timeout "$PATIENCE" /usr/bin/ctr -a $address -n "$group" events >"$work/oom" 2>&1 &
	local events=$!
	eventually sh -c "timeout $PATIENCE /usr/bin/ctr -a $address -n $group run --rm --runc-binary $runtime --snapshotter native $image first true && grep -q '/tasks/exit' $work/oom"
	start --memory-limit 33554432 $image box sh -c 'tail /dev/zero; sleep 1000'
	eventually grep -q '/tasks/oom .*"box"' "$work/oom"
	kill $events
}

scenario_twenty_at_once() {
	local i pids=()
	for i in $(seq 20); do
		run $image "box$i" sh -c "exit $i" &
		pids+=($!)
	done
	ended_with_their_numbers "${pids[@]}"
	says '' ctr task ls -q
}

scenario_daemon_restart() {
	start $image box sleep 1000
	local pid
	pid=$(ctr task ls | awk '$1 == "box" { print $2 }')
	daemon_stop containerd
	kill -0 "$pid"
	daemon
	is "$pid" "$(ctr task ls | awk '$1 == "box" { print $2 }')"
	says in ctr task exec --exec-id one box echo in
	ctr task kill -s KILL box
	becomes STOPPED status box
	like '*exit code 137*' "$(ctr task rm box 2>&1)"
}

# Who cares for a container may be killed: containerd then has what is left of it deleted.
scenario_shim_killed() {
	start $image box sleep 1000
	local pid
	pid=$(ctr task ls | awk '$1 == "box" { print $2 }')
	kill -KILL "$(ps -o ppid= -p "$pid" | tr -d ' ')"
	eventually gone "$pid"
	eventually no_cgroups_left
	eventually sh -c "[ -z \"\$(ls /run/containerd/runc/$group)\" ]"
	ctr task rm -f box 2>/dev/null || true
	ctr container rm box
	says hello run $image box echo hello
}

scenario_failed_start() {
	fails '*executable file not found in $PATH*' run $image box no-such-program
	fails '*no such file or directory*' run $image box /no/such/program
	fails '*permission denied*' run $image box /etc/not-a-program
	fails '*' run --mount type=bind,src=/no/such/source,dst=/data,options=rbind $image box true
	says '' ctr task ls -q
	is '' "$(ls "/run/containerd/runc/$group" 2>/dev/null)"
	eventually no_cgroups_left
	# The name is free again.
	ctr container rm box 2>/dev/null || true
	says hello run $image box echo hello
}

image_archive "$work/busybox.tar"
daemon
ctr image import "$work/busybox.tar" >/dev/null
scenarios "$@"
