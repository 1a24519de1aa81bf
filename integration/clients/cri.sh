#!/bin/bash
# The CRI plugin of containerd, what a kubelet talks to: pods and their containers on RUNTIME, on a bridge of the CNI plugins. The client
# is curl (gRPC is HTTP/2) and protoc (messages as text, cri.proto). See engine.sh and README.md.
#
# Packages: containerd containernetworking-plugins protobuf-compiler curl python3 busybox-static iptables iproute2 procps util-linux
# shellcheck source=engine.sh
. "$(dirname "$0")/engine.sh"
# shellcheck disable=SC2034
QUICK=(readme version_and_status pod container exec_sync exec_streams stats stop security_users security_capabilities failed_start daemon_restart)
QUICK_SYSTEMD=(systemd_scopes pod container exec_sync stats stop failed_start daemon_restart)
isolate cri "$@"
# As a kubelet gives it, with either driver: containerd reads the statistics of a pod there.
parent=/$group
controllers || { echo 'the CRI sets cpu shares, and the cgroups have no controllers here'; exit 2; }

address=/run/containerd/containerd.sock
image=docker.io/library/busybox:test
cp "$(dirname "$0")/cri.proto" "$(dirname "$0")/cri_stream.py" "$work"

daemon() {
	mkdir -p "$work/cni"
	cat >"$work/cni/bridge.conflist" <<-E
		{"cniVersion": "0.4.0", "name": "corten", "plugins": [
		  {"type": "bridge", "bridge": "corten0", "isGateway": true,
		   "ipam": {"type": "host-local", "dataDir": "$work/addresses", "ranges": [[{"subnet": "10.213.77.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	E
	# The machine's root may not lower oom_score_adj.
	cat >"$work/config.toml" <<-E
		version = 2
		root = "$work/containerd"
		state = "/run/containerd"
		[grpc]
		address = "$address"
		[plugins."io.containerd.grpc.v1.cri"]
		sandbox_image = "docker.io/library/pause:test"
		restrict_oom_score_adj = true
		disable_apparmor = true
		[plugins."io.containerd.grpc.v1.cri".cni]
		bin_dir = "/usr/lib/cni"
		conf_dir = "$work/cni"
		[plugins."io.containerd.grpc.v1.cri".containerd]
		snapshotter = "native"
		default_runtime_name = "chosen"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.chosen]
		runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.chosen.options]
		BinaryName = "$runtime"
		SystemdCgroup = $([ "$driver" = systemd ] && echo true || echo false)
	E
	readme_lines 'io.containerd.grpc.v1.cri' >>"$work/config.toml"
	daemon_start containerd /usr/bin/containerd -c "$work/config.toml"
	eventually ready
}
# Newer ones have more conditions.
ready() { [ "$(cri Status | grep -A 1 -E 'type: "(Runtime|Network)Ready"' | grep -c 'status: true')" = 2 ]; }

# cri METHOD [REQUEST AS TEXT]: prints the answer as text. Fields with the value 0, false or "" are not in it.
cri() {
	local d code
	d=$(mktemp -d "$work/call.XXXXXX")
	protoc --proto_path="$work" --encode="runtime.v1.$1Request" cri.proto <<<"${2-}" >"$d/message"
	# A frame: not compressed, its length, the message.
	{ printf %b "\\0$(printf %08x "$(stat -c %s "$d/message")" | sed 's/../\\x&/g')"; cat "$d/message"; } >"$d/frame"
	curl -sS --http2-prior-knowledge --unix-socket $address --max-time "$PATIENCE" -H 'content-type: application/grpc' -H 'te: trailers' \
		--data-binary "@$d/frame" -D "$d/headers" -o "$d/answer" "http://localhost/runtime.v1.RuntimeService/$1"
	code=$(tr -d '\r' <"$d/headers" | sed -n 's/^grpc-status: //p')
	if [ "$code" != 0 ]; then
		echo "$1: $(tr -d '\r' <"$d/headers" | sed -n 's/^grpc-message: //p') [code $code]" >&2
		rm -r "$d"
		return 1
	fi
	tail -c +6 "$d/answer" | protoc --proto_path="$work" --decode="runtime.v1.$1Response" cri.proto
	rm -r "$d"
}

# value FIELD [DEFAULT]: of the text of a message, the first.
value() {
	local found
	found=$(sed -n "s/^ *$1: \"\\{0,1\\}\\([^\"]*\\)\"\\{0,1\\}\$/\\1/p" | head -n 1)
	echo "${found:-${2-}}"
}

quoted() {
	local word all=
	for word; do
		word=${word//\\/\\\\} word=${word//\"/\\\"} word=${word//$'\n'/\\n}
		all+="${all:+, }\"$word\""
	done
	echo "[$all]"
}

# What follows may be called in a condition, where -e does not count.

# pod NAME: prints its id. Of the caller, as text: sandbox (in the security context), sandbox_linux, sandbox_config.
pod() {
	local text id answer
	text="metadata { name: \"$1\" uid: \"uid-$1\" namespace: \"default\" } log_directory: \"$work/pods/$1\" ${sandbox_config-}
		linux { cgroup_parent: \"$parent\" security_context { ${sandbox-} } ${sandbox_linux-} }"
	answer=$(cri RunPodSandbox "config { $text } runtime_handler: \"${handler-chosen}\"") || return
	id=$(value pod_sandbox_id <<<"$answer")
	mkdir -p "$work/pods/$1"
	ln -s "$1" "$work/pods/$id"
	echo "$text" >"$work/pods/$id.text"
	echo "$id"
}

# created POD NAME COMMAND…: a container, prints its id; its output goes to $work/pods/POD/NAME. Of the caller: security, resources,
# config.
created() {
	local pod=$1 name=$2 answer
	shift 2
	answer=$(cri CreateContainer "pod_sandbox_id: \"$pod\" sandbox_config { $(cat "$work/pods/$pod.text") }
		config { metadata { name: \"$name\" } image { image: \"$image\" } command: $(quoted "$@") log_path: \"$name\" ${config-}
			linux { resources { ${resources-} } security_context { ${security-} } } }") || return
	value container_id <<<"$answer"
}

started() {
	local id
	id=$(created "$@") || return
	cri StartContainer "container_id: \"$id\"" || return
	echo "$id"
}

# in_pod POD COMMAND…: its output and exit code, of a container that is made for it.
in_pod() {
	local id name code pod=$1
	shift
	name=$(mktemp -u box-XXXXXXXX)
	id=$(started "$pod" "$name" "$@") || return
	becomes CONTAINER_EXITED state "$id" || return
	output_of "$pod" "$name"
	code=$(container "$id" | value exit_code 0)
	cri RemoveContainer "container_id: \"$id\"" || return
	return "$code"
}

container() { cri ContainerStatus "container_id: \"$1\""; }
state() { container "$1" | value state CONTAINER_CREATED; }
pod_state() { cri PodSandboxStatus "pod_sandbox_id: \"$1\"" | value state SANDBOX_READY; }
address_of() { cri PodSandboxStatus "pod_sandbox_id: \"$1\"" | value ip; }
# output_of POD NAME: without the time, the stream and the tag of each line.
output_of() { cut -d' ' -f4- "$work/pods/$1/$2"; }
pid_of() { cri ContainerStatus "container_id: \"$1\" verbose: true" | sed -n 's/.*\\"pid\\":\([0-9]*\).*/\1/p' | head -n 1; }

# in_box ID COMMAND…: ExecSync, its output and exit code.
in_box() {
	local id=$1 answer
	shift
	answer=$(cri ExecSync "container_id: \"$id\" cmd: $(quoted "$@") timeout: ${timeout-60}") || return
	raw stdout <<<"$answer"
	raw stderr <<<"$answer" >&2
	return "$(value exit_code 0 <<<"$answer")"
}
raw() { printf %b "$(sed -n "s/^$1: \"\\(.*\\)\"\$/\\1/p" | sed "s/\\\\\"/\\\\042/g; s/\\\\'/\\\\047/g")"; }

# In the cgroup of a container as the host sees it.
group_file() { cat "/sys/fs/cgroup/$2/$group/$1/$3" 2>/dev/null || cut -d' ' -f1 "/sys/fs/cgroup/$group/$(directory_of "$1")/$4"; }
directory_of() { if [ "$driver" = systemd ]; then echo "cri-containerd-$1.scope"; else echo "$1"; fi; }

before() { :; }

after() {
	local id
	for id in $(cri ListPodSandbox | sed -n 's/^  id: "\(.*\)"/\1/p'); do
		cri StopPodSandbox "pod_sandbox_id: \"$id\""
		cri RemovePodSandbox "pod_sandbox_id: \"$id\""
	done
}

nothing_left() {
	after
	is '' "$(cri ListPodSandbox)"
	is '' "$(cri ListContainers)"
	eventually no_cgroups_left
	is '' "$(find /run/containerd/runc /run/containerd/io.containerd.runtime.v2.task -mindepth 2 2>/dev/null)"
	is '' "$(ls /run/netns 2>/dev/null)"
	is '' "$(ip -o link show type veth)"
	eventually no_shims
}
no_shims() { is '' "$(pgrep -f 'containerd-shim-runc-v2 -namespace k8s.io' || true)"; }

scenario_version_and_status() {
	is v1 "$(cri Version | value runtime_api_version)"
	is containerd "$(cri Version | value runtime_name)"
	ready
}

scenario_readme() {
	local pod
	pod=$(handler=corten pod readme)
	is corten "$(cri PodSandboxStatus "pod_sandbox_id: \"$pod\"" | value runtime_handler)"
	says hello in_pod "$pod" echo hello
}

scenario_pod() {
	local id
	id=$(sandbox_linux='sysctls { key: "net.ipv4.ip_forward" value: "1" }' sandbox_config='hostname: "web" labels { key: "a" value: "b" }' pod web)
	is SANDBOX_READY "$(pod_state "$id")"
	like '10.213.77.*' "$(address_of "$id")"
	is chosen "$(cri PodSandboxStatus "pod_sandbox_id: \"$id\"" | value runtime_handler)"
	is 1 "$(cri ListPodSandbox | grep -c "id: \"$id\"")"
	says web in_pod "$id" hostname
	says 1 in_pod "$id" cat /proc/sys/net/ipv4/ip_forward
	[ -d "/run/containerd/runc/k8s.io/$id" ]
	cri StopPodSandbox "pod_sandbox_id: \"$id\""
	is SANDBOX_NOTREADY "$(pod_state "$id")"
	is '' "$(ls /run/netns)"
	# Both may be said twice.
	cri StopPodSandbox "pod_sandbox_id: \"$id\""
	cri RemovePodSandbox "pod_sandbox_id: \"$id\""
	cri RemovePodSandbox "pod_sandbox_id: \"$id\""
	is '' "$(cri ListPodSandbox)"
	fails '*not found*' cri PodSandboxStatus "pod_sandbox_id: \"$id\""
	fails '*no runtime for "other"*' env_handler other pod second
}
# `says` and `fails` run a command, not an assignment.
env_handler() { local handler=$1; shift; "$@"; }

scenario_container() {
	local pod id
	pod=$(pod plain)
	id=$(created "$pod" box sh -c 'echo out; echo err >&2; exec sleep 1000')
	is CONTAINER_CREATED "$(state "$id")"
	cri StartContainer "container_id: \"$id\""
	is CONTAINER_RUNNING "$(state "$id")"
	becomes $'err\nout' sh -c "cut -d' ' -f4 $work/pods/plain/box | sort"
	like '*stdout F out*' "$(cat "$work/pods/plain/box")"
	like '*stderr F err*' "$(cat "$work/pods/plain/box")"
	is 1 "$(cri ListContainers | grep -c "pod_sandbox_id: \"$pod\"")"
	# It is killed.
	cri RemoveContainer "container_id: \"$id\""
	is '' "$(cri ListContainers)"
	exits 7 in_pod "$pod" sh -c 'exit 7'
	id=$(started "$pod" ends sh -c 'exit 5')
	becomes CONTAINER_EXITED state "$id"
	is '5 Error' "$(container "$id" | value exit_code) $(container "$id" | value reason)"
	id=$(started "$pod" well true)
	becomes CONTAINER_EXITED state "$id"
	is Completed "$(container "$id" | value reason)"
	says '/mnt b' env_config 'working_dir: "/mnt" envs { key: "a" value: "b" }' in_pod "$pod" sh -c 'echo $PWD $a'
}
env_config() { local config=$1; shift; "$@"; }
env_security() { local security=$1; shift; "$@"; }
env_resources() { local resources=$1; shift; "$@"; }

scenario_terminal() {
	local pod
	pod=$(pod terminal)
	like '/dev/pts/0*' "$(env_config 'tty: true' in_pod "$pod" tty)"
}

scenario_exec_sync() {
	local pod id
	pod=$(pod execs)
	id=$(security='namespace_options { pid: CONTAINER }' started "$pod" box sleep 1000)
	says 'in "quotes" \ and more' in_box "$id" echo 'in "quotes" \ and more'
	says err in_box "$id" sh -c 'echo err >&2'
	exits 9 in_box "$id" sh -c 'exit 9'
	is 100000 "$(in_box "$id" sh -c "head -c 100000 /dev/zero | tr '\\0' x" | wc -c)"
	fails '*no-such-program*' in_box "$id" no-such-program
	fails '*permission denied*' in_box "$id" /etc/not-a-program
	fails '*timeout 1s exceeded*' env_timeout 1 in_box "$id" sleep 1000
	# What was too slow is gone.
	becomes 1 sh -c "{ cat /sys/fs/cgroup/systemd/$group/$(directory_of "$id")/cgroup.procs 2>/dev/null || cat /sys/fs/cgroup/$group/$(directory_of "$id")/cgroup.procs; } | grep -c ."
	is "$(in_box "$id" cat /proc/1/cgroup)" "$(in_box "$id" cat /proc/self/cgroup)"
	cri StopContainer "container_id: \"$id\""
	fails '*is in CONTAINER_EXITED state*' in_box "$id" true
}
env_timeout() { local timeout=$1; shift; "$@"; }

# stream_of METHOD REQUEST [SIZE] [LINE…]: as kubectl exec and attach.
stream_of() {
	local url
	url=$(cri "$1" "$2") || return
	shift 2
	timeout 60 /usr/bin/python3 "$work/cri_stream.py" "$(value url <<<"$url")" "$@"
}

scenario_exec_streams() {
	local pod id
	pod=$(pod streams)
	id=$(started "$pod" box sleep 1000)
	says out stream_of Exec "container_id: \"$id\" cmd: $(quoted echo out) stdout: true stderr: true"
	says err stream_of Exec "container_id: \"$id\" cmd: $(quoted sh -c 'echo err >&2') stdout: true stderr: true"
	exits 9 stream_of Exec "container_id: \"$id\" cmd: $(quoted sh -c 'exit 9') stdout: true stderr: true"
	is 1000000 "$(stream_of Exec "container_id: \"$id\" cmd: $(quoted head -c 1000000 /dev/zero) stdout: true stderr: true" | wc -c)"
	says $'ready\nheard typed' stream_of Exec "container_id: \"$id\" cmd: $(quoted sh -c 'echo ready; read word; echo heard $word') stdin: true stdout: true stderr: true" typed
	# With a terminal of the size that the client has. Without standard input containerd 1.6 loses most of what is said on it.
	like '/dev/pts/0*' "$(stream_of Exec "container_id: \"$id\" cmd: $(quoted tty) tty: true stdin: true stdout: true")"
	like '*sized*' "$(stream_of Exec "container_id: \"$id\" cmd: $(quoted sh -c 'until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; echo sized') tty: true stdin: true stdout: true" 77x33)"
	exits 4 stream_of Exec "container_id: \"$id\" cmd: $(quoted sh -c 'exit 4') tty: true stdin: true stdout: true"
}

scenario_attach_streams() {
	local pod id
	pod=$(pod attaches)
	id=$(config='stdin: true' started "$pod" box sh -c 'while sleep 0.2; do echo tick; done & read word; kill $!; echo heard $word; exit 3')
	like '*heard typed*' "$(stream_of Attach "container_id: \"$id\" stdin: true stdout: true stderr: true" typed || true)"
	becomes CONTAINER_EXITED state "$id"
	is 3 "$(container "$id" | value exit_code)"
	id=$(config='stdin: true tty: true' started "$pod" screen sh -c 'while sleep 0.2; do echo tick; done & read word; kill $!; echo heard $word $(tty)')
	like '*heard typed /dev/pts/0*' "$(stream_of Attach "container_id: \"$id\" stdin: true tty: true stdout: true" typed || true)"
	becomes CONTAINER_EXITED state "$id"
}

scenario_execs_at_once() {
	local pod id i pids=()
	pod=$(pod many-execs)
	id=$(started "$pod" box sleep 1000)
	for i in $(seq 20); do
		in_box "$id" sh -c "exit $i" &
		pids+=($!)
	done
	ended_with_their_numbers "${pids[@]}"
}

scenario_stats() {
	needs_controllers
	local pod id
	pod=$(pod stats)
	id=$(started "$pod" box sh -c 'head -c 10000000 /dev/zero | tail; touch /tmp/done; exec sleep 1000')
	eventually in_box "$id" test -f /tmp/done
	[ "$(cri ContainerStats "container_id: \"$id\"" | sed -n '/^  cpu/,/^  }/p' | value value 0)" -gt 0 ]
	[ "$(cri ContainerStats "container_id: \"$id\"" | sed -n '/^  memory/,/^  }/p' | value value 0)" -gt 0 ]
	is 1 "$(cri ListContainerStats | grep -c "id: \"$id\"")"
	# The pod's are those of the cgroup above, which is the tests' own here.
	[ "$(cri PodSandboxStats "pod_sandbox_id: \"$pod\"" | sed -n '/^    cpu/,/^    }/p' | value value 0)" -gt 0 ]
	is 1 "$(cri PodSandboxStats "pod_sandbox_id: \"$pod\"" | grep -c "id: \"$id\"")"
}

scenario_stop() {
	local pod id
	pod=$(pod stops)
	id=$(started "$pod" mild sh -c 'trap "exit 3" TERM; touch /tmp/ready; while :; do sleep 0.1; done')
	eventually in_box "$id" test -f /tmp/ready
	cri StopContainer "container_id: \"$id\" timeout: 60"
	is '3 CONTAINER_EXITED' "$(container "$id" | value exit_code) $(state "$id")"
	id=$(started "$pod" stubborn sh -c 'trap "" TERM; touch /tmp/ready; exec sleep 1000')
	eventually in_box "$id" test -f /tmp/ready
	cri StopContainer "container_id: \"$id\" timeout: 1"
	is '137 CONTAINER_EXITED' "$(container "$id" | value exit_code) $(state "$id")"
	# A pod takes its containers with it.
	id=$(started "$pod" last sh -c 'sleep 1000 & sleep 1000 & wait')
	cri StopPodSandbox "pod_sandbox_id: \"$pod\""
	is CONTAINER_EXITED "$(state "$id")"
	cri RemovePodSandbox "pod_sandbox_id: \"$pod\""
	is '' "$(cri ListContainers)"
}

scenario_limits() {
	needs_controllers
	local pod id
	pod=$(pod limits)
	id=$(resources='memory_limit_in_bytes: 67108864 cpu_period: 100000 cpu_quota: 50000 cpu_shares: 512 cpuset_cpus: "0" oom_score_adj: 500' \
		started "$pod" box sleep 1000)
	is 67108864 "$(group_file "$id" memory memory.limit_in_bytes memory.max)"
	is 50000 "$(group_file "$id" cpu cpu.cfs_quota_us cpu.max)"
	is 0 "$(group_file "$id" cpuset cpuset.cpus cpuset.cpus)"
	says 67108864 in_box "$id" sh -c "$(limit memory/memory.limit_in_bytes memory.max)"
	is 500 "$(cat "/proc/$(pid_of "$id")/oom_score_adj")"
	cri UpdateContainerResources "container_id: \"$id\" linux { memory_limit_in_bytes: 134217728 cpu_quota: 70000 cpu_period: 100000 }"
	is 134217728 "$(group_file "$id" memory memory.limit_in_bytes memory.max)"
	is 70000 "$(group_file "$id" cpu cpu.cfs_quota_us cpu.max)"
}

scenario_oom() {
	needs_controllers
	local pod id
	pod=$(pod oom)
	# The word of the kernel comes through the shim: let a child be the victim, and time pass.
	id=$(resources='memory_limit_in_bytes: 33554432' started "$pod" box sh -c 'tail /dev/zero; sleep 5; exit 1')
	becomes CONTAINER_EXITED state "$id"
	is OOMKilled "$(container "$id" | value reason)"
}

scenario_security_users() {
	local pod
	pod=$(pod users)
	says '1000 1001' env_security 'run_as_user { value: 1000 } run_as_group { value: 1001 }' in_pod "$pod" sh -c 'echo $(id -u) $(id -g)'
	says '1000 1000' env_security 'run_as_username: "user"' in_pod "$pod" sh -c 'echo $(id -u) $(id -g)'
	says '1000 5 1234' env_security 'run_as_user { value: 1000 } run_as_group { value: 1000 } supplemental_groups: [5, 1234]' in_pod "$pod" id -G
	fails '*ead-only*' env_security 'readonly_rootfs: true' in_pod "$pod" touch /x
	says $'NoNewPrivs:\t1' env_security 'no_new_privs: true' in_pod "$pod" grep NoNewPrivs /proc/self/status
	says 0 env_security 'masked_paths: ["/etc/passwd"]' in_pod "$pod" sh -c 'wc -c </etc/passwd'
	fails '*ead-only*' env_security 'readonly_paths: ["/etc"]' in_pod "$pod" touch /etc/x
	fails '*ead-only*' in_pod "$pod" mkdir /sys/x
}

scenario_security_capabilities() {
	local pod device
	pod=$(pod capabilities)
	says $'CapEff:\t0000000000000000' env_security 'capabilities { drop_capabilities: "ALL" }' in_pod "$pod" grep CapEff /proc/self/status
	says $'CapEff:\t0000000000000001' env_security 'capabilities { drop_capabilities: "ALL" add_capabilities: "CHOWN" }' in_pod "$pod" grep CapEff /proc/self/status
	exits 0 env_security 'capabilities { add_capabilities: "SYS_ADMIN" }' in_pod "$pod" mount -t tmpfs tmpfs /mnt
	exits 1 in_pod "$pod" sh -c 'mount -t tmpfs tmpfs /mnt || exit 1'
	pod=$(sandbox='privileged: true' pod privileged)
	exits 0 env_security 'privileged: true' in_pod "$pod" mount -t tmpfs tmpfs /mnt
	# Nor are the devices of the machine kept from it.
	for device in /dev/kmsg /dev/fuse /dev/loop-control; do
		[ ! -c $device ] || exits 0 env_security 'privileged: true' in_pod "$pod" test -c $device
	done
}

scenario_security_seccomp() {
	local pod
	pod=$(pod seccomp)
	says $'Seccomp:\t2' env_security 'seccomp { profile_type: RuntimeDefault }' in_pod "$pod" grep -w Seccomp: /proc/self/status
	fails '*ot permitted*' env_security 'seccomp { profile_type: RuntimeDefault }' in_pod "$pod" unshare -U true
	says $'Seccomp:\t0' env_security 'seccomp { profile_type: Unconfined }' in_pod "$pod" grep -w Seccomp: /proc/self/status
	cat >"$work/seccomp.json" <<-E
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
	E
	fails '*not supported*' env_security "seccomp { profile_type: Localhost localhost_ref: \"$work/seccomp.json\" }" in_pod "$pod" mkdir /tmp/x
	exits 0 env_security "seccomp { profile_type: Localhost localhost_ref: \"$work/seccomp.json\" }" in_pod "$pod" touch /tmp/x
}

scenario_namespaces() {
	local pod first second kind
	pod=$(pod shares)
	first=$(started "$pod" first sleep 1000)
	second=$(started "$pod" second sleep 1000)
	for kind in net ipc uts; do
		is "$(in_box "$first" readlink /proc/self/ns/$kind)" "$(in_box "$second" readlink /proc/self/ns/$kind)"
	done
	# The pause container of a pod is the first process of what shares its processes.
	says 1 env_security 'namespace_options { pid: CONTAINER }' in_pod "$pod" sh -c 'echo $$'
	says 1000000000 in_pod "$pod" sh -c "tr '\\0' '\\n' </proc/1/cmdline | tail -n 1"
	says 1000 env_security "namespace_options { pid: TARGET target_id: \"$(security='namespace_options { pid: CONTAINER }' started "$pod" target sleep 1000)\" }" \
		in_pod "$pod" sh -c "tr '\\0' '\\n' </proc/1/cmdline | tail -n 1"
	pod=$(sandbox='namespace_options { network: NODE pid: NODE ipc: NODE }' pod host)
	for kind in net pid ipc; do
		is "$(readlink /proc/self/ns/$kind)" "$(security='namespace_options { network: NODE pid: NODE ipc: NODE }' in_pod "$pod" readlink /proc/self/ns/$kind)"
	done
}

scenario_mounts_and_devices() {
	local pod
	pod=$(pod mounts)
	mkdir -p "$work/data"
	echo inside >"$work/data/file"
	says inside env_config "mounts { container_path: \"/data\" host_path: \"$work/data\" }" in_pod "$pod" cat /data/file
	exits 0 env_config "mounts { container_path: \"/data\" host_path: \"$work/data\" }" in_pod "$pod" sh -c 'echo new > /data/new'
	is new "$(cat "$work/data/new")"
	fails '*ead-only*' env_config "mounts { container_path: \"/data\" host_path: \"$work/data\" readonly: true }" in_pod "$pod" touch /data/x
	mount --bind "$work/data" "$work/data"
	mount --make-shared "$work/data"
	says inside env_config "mounts { container_path: \"/data\" host_path: \"$work/data\" propagation: PROPAGATION_HOST_TO_CONTAINER }" in_pod "$pod" cat /data/file
	exits 0 env_both 'privileged: true' "mounts { container_path: \"/data\" host_path: \"$work/data\" propagation: PROPAGATION_BIDIRECTIONAL }" \
		in_pod "$(sandbox='privileged: true' pod mounts-out)" sh -c 'mkdir -p /data/below && mount -t tmpfs tmpfs /data/below'
	is tmpfs "$(stat -fc %T "$work/data/below")"
	umount "$work/data/below"
	umount "$work/data"
	says '1 5' env_config 'devices { container_path: "/dev/nought" host_path: "/dev/zero" permissions: "r" }' in_pod "$pod" stat -c '%t %T' /dev/nought
	fails '*ot permitted*' in_pod "$pod" sh -c 'mknod /tmp/d c 1 1 && cat /tmp/d'
	says 'nameserver 10.1.2.3' in_pod "$(sandbox_config='dns_config { servers: "10.1.2.3" }' pod asks)" cat /etc/resolv.conf
}
env_both() { local security=$1 config=$2; shift 2; "$@"; }

scenario_network() {
	local web other
	web=$(sandbox_config='port_mappings { container_port: 80 host_port: 8098 }' pod web)
	started "$web" box sh -c 'mkdir /www; echo page > /www/index.html; httpd -f -p 80 -h /www' >/dev/null
	other=$(pod asks)
	says page in_pod "$other" sh -c "until wget -qO- http://$(address_of "$web")/; do sleep 0.1; done"
	says page in_pod "$web" wget -qO- http://127.0.0.1/
	is page "$(busybox wget -qO- http://10.213.77.1:8098/)"
	says $'eth0\nlo' in_pod "$other" ls /sys/class/net
	[ "$(address_of "$web")" != "$(address_of "$other")" ]
}

scenario_failed_start() {
	local pod id
	pod=$(pod fails)
	fails '*executable file not found in $PATH*' started "$pod" a no-such-program
	fails '*no such file or directory*' started "$pod" b /no/such/program
	fails '*permission denied*' started "$pod" c /etc/not-a-program
	id=$(created "$pod" d no-such-program)
	fails '*no-such-program*' cri StartContainer "container_id: \"$id\""
	is 'CONTAINER_EXITED 128 StartError' "$(state "$id") $(container "$id" | value exit_code) $(container "$id" | value reason)"
	is "$pod" "$(ls /run/containerd/runc/k8s.io)"
	is '' "$(find /sys/fs/cgroup -type d -path "*/$group/$(directory_of "$id")")"
	cri RemoveContainer "container_id: \"$id\""
	# It is as good as before.
	says hello in_pod "$pod" echo hello
}

scenario_twenty_at_once() {
	local i pids=() pod
	pod=$(pod twenty)
	for i in $(seq 20); do
		in_pod "$pod" sh -c "exit $i" &
		pids+=($!)
	done
	ended_with_their_numbers "${pids[@]}"
}

scenario_five_pods_at_once() {
	local i pids=()
	for i in 1 2 3 4 5; do
		(
			pod=$(sandbox_config="hostname: \"pod$i\"" pod "pod$i")
			says "pod$i" in_pod "$pod" hostname
			cri StopPodSandbox "pod_sandbox_id: \"$pod\""
			cri RemovePodSandbox "pod_sandbox_id: \"$pod\""
		) &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	is '' "$(cri ListPodSandbox)"
}

scenario_daemon_restart() {
	local pod id pid
	pod=$(pod stays)
	id=$(started "$pod" box sh -c 'trap "exit 4" TERM; touch /tmp/ready; while :; do sleep 0.1; done')
	eventually in_box "$id" test -f /tmp/ready
	pid=$(pid_of "$id")
	daemon_stop containerd
	kill -0 "$pid"
	daemon
	is SANDBOX_READY "$(pod_state "$pod")"
	is "CONTAINER_RUNNING $pid" "$(state "$id") $(pid_of "$id")"
	says in in_box "$id" echo in
	cri StopContainer "container_id: \"$id\" timeout: 60"
	is 4 "$(container "$id" | value exit_code)"
}

# Each container of a pod is a scope, whose properties the runtime sets.
scenario_systemd_scopes() {
	needs_controllers_of_version_2
	local pod id unit sandbox
	pod=$(pod scopes)
	sandbox=cri-containerd-$pod.scope
	id=$(resources='memory_limit_in_bytes: 67108864 cpu_period: 100000 cpu_quota: 50000' started "$pod" box sleep 1000)
	unit=cri-containerd-$id.scope
	unit_is "$sandbox" ActiveState=active Slice="$group"
	unit_is "$unit" ActiveState=active Slice="$group" MemoryMax=67108864 CPUQuotaPerSecUSec=500ms Delegate=yes
	is 67108864 "$(group_file "$id" - - memory.max)"
	is 50000 "$(group_file "$id" - - cpu.max)"
	exits 9 in_box "$id" sh -c 'exit 9'
	cri UpdateContainerResources "container_id: \"$id\" linux { memory_limit_in_bytes: 134217728 }"
	unit_is "$unit" MemoryMax=134217728
	# systemd writes what it knows once more.
	systemctl daemon-reload
	is 134217728 "$(group_file "$id" - - memory.max)"
	says hello in_box "$id" echo hello
	cri StopContainer "container_id: \"$id\""
	cri RemoveContainer "container_id: \"$id\""
	eventually no_units_left "$unit"
	unit_is "$sandbox" ActiveState=active
	# Who is killed from outside takes its scope with it.
	id=$(started "$pod" other sleep 1000)
	kill -KILL "$(pid_of "$id")"
	becomes CONTAINER_EXITED state "$id"
	eventually no_units_left "cri-containerd-$id.scope"
	cri StopPodSandbox "pod_sandbox_id: \"$pod\""
	cri RemovePodSandbox "pod_sandbox_id: \"$pod\""
	eventually no_units_left 'cri-containerd-*'
}

image_archive "$work/busybox.tar"
image_archive "$work/pause.tar" pause:test '["sleep", "1000000000"]'
daemon
for archive in busybox pause; do timeout "$PATIENCE" /usr/bin/ctr -a $address -n k8s.io image import "$work/$archive.tar" >/dev/null; done
scenarios "$@"
