#!/bin/bash
# Docker: containers of a dockerd of our own whose runtime is RUNTIME. See engine.sh and README.md.
#
# Packages: docker.io docker-compose busybox-static jq iptables iproute2 procps util-linux bsdextrautils
# shellcheck source=engine.sh
. "$(dirname "$0")/engine.sh"
# shellcheck disable=SC2034
QUICK=(readme run_and_exit_codes exec limits_inside update pause kill_and_stop default_seccomp terminal pid_of_container network_bridge live_restore build)
QUICK_SYSTEMD=(systemd_scope run_and_exit_codes exec limits_inside update pause kill_and_stop stats live_restore twenty_at_once)
isolate docker "$@"

docker() { timeout --foreground "$PATIENCE" /usr/bin/docker -H unix:///run/docker.sock "$@"; }
run() { docker run --rm --network none "$@"; }
field() { docker inspect --format "$1" "$2"; }
image=busybox:test

# daemon MODE: running with these settings; restarted only if it has others.
daemon() {
	local more='' root=$work/docker storage=overlay2
	[ "$(cat "$work/mode" 2>/dev/null)" != "$1" ] || ! docker version >/dev/null 2>&1 || return 0
	daemon_stop dockerd
	case $1 in
	live) more='"live-restore": true,' ;;
	userns) more='"userns-remap": "nobody:nogroup",' ;;
	esac
	[ "$(stat -f -c %T "$work")" != overlayfs ] || storage=vfs
	cat >"$work/daemon.json" <<-E
		{$more "data-root": "$root", "exec-root": "/run/docker", "pidfile": "/run/docker.pid", "hosts": ["unix:///run/docker.sock"],
		 "storage-driver": "$storage", "runtimes": {"chosen": {"path": "$runtime"}}, "default-runtime": "chosen",
		 "exec-opts": ["native.cgroupdriver=$driver"], "cgroup-parent": "$parent", "shutdown-timeout": 3}
	E
	if [ "$1" = readme ]; then
		readme_lines '"runtimes"' >"$work/readme.json"
		jq -s '(.[0] | del(.runtimes, .["default-runtime"], .["exec-opts"])) + .[1]' "$work/daemon.json" "$work/readme.json" >"$work/merged.json"
		mv "$work/merged.json" "$work/daemon.json"
	fi
	daemon_start dockerd /usr/sbin/dockerd --config-file "$work/daemon.json"
	eventually docker version
	echo "$1" >"$work/mode"
	docker image inspect $image >/dev/null 2>&1 || docker load -qi "$work/busybox.tar" >/dev/null
}

before() { daemon plain; }

after() {
	local all
	all=$(docker ps -aq)
	# shellcheck disable=SC2086
	[ -z "$all" ] || docker rm -fv $all >/dev/null
}

nothing_left() {
	daemon plain
	after
	eventually no_cgroups_left
	is '' "$(find /run/docker /run/containerd -path '*/runtime-*/moby/*' -maxdepth 5 2>/dev/null)"
	is '' "$(grep -F "$work/docker/overlay2/" /proc/self/mountinfo || true)"
}

scenario_run_and_exit_codes() {
	says hello run $image echo hello
	exits 7 run $image sh -c 'exit 7'
	exits 127 run $image /no/such/program
	exits 127 run $image no-such-program
	exits 126 run $image /etc/not-a-program
	exits 126 run $image /etc
	is abc "$(echo abc | run -i $image cat)"
	is 1000000 "$(run $image head -c 1000000 /dev/zero | wc -c)"
	like '*executable file not found in $PATH*' "$(run $image no-such-program 2>&1 || true)"
}

scenario_readme() {
	daemon readme
	says hello run --runtime corten $image echo hello
	exits 127 run --runtime corten $image no-such-program
	docker run -d --name box --runtime corten --network none $image sleep 1000 >/dev/null
	says in docker exec box echo in
	after
}

scenario_named_runtime() {
	says hello run --runtime chosen $image echo hello
	fails '*nknown *runtime*' run --runtime other $image true
}

scenario_environment() {
	says '/mnt b' run -w /mnt -e a=b $image sh -c 'echo $PWD $a'
	says /made/here run -w /made/here $image pwd
	says box run --hostname box $image hostname
	says 1 run --sysctl net.ipv4.ip_forward=1 $image cat /proc/sys/net/ipv4/ip_forward
	says 77 run --ulimit nofile=77:77 $image sh -c 'ulimit -n'
	says 500 run --oom-score-adj 500 $image cat /proc/self/oom_score_adj
	says 16384 run --shm-size 16m $image sh -c "df -k /dev/shm | tail -n 1 | awk '{print \$2}'"
}

scenario_users() {
	says '1000 1001' run --user 1000:1001 $image sh -c 'echo $(id -u) $(id -g)'
	says '1000 1000 /tmp' run --user user $image sh -c 'echo $(id -u) $(id -g) $HOME'
	says '0 5 1234' run --group-add 5 --group-add extra $image id -G
	fails '*unable to find user nobody-here*' run --user nobody-here $image true
}

scenario_detached_and_logs() {
	docker run -d --name box --network none $image sh -c 'echo out; echo err >&2; sleep 1000' >/dev/null
	becomes 'out' sh -c "timeout $PATIENCE /usr/bin/docker -H unix:///run/docker.sock logs box 2>/dev/null"
	says true field '{{.State.Running}}' box
	like '*sleep 1000*' "$(docker top box)"
	is err "$(docker logs box 2>&1 >/dev/null)"
	docker rm -f box >/dev/null
	fails '*No such*' docker inspect box
}

scenario_create_start_wait() {
	docker create --name box --network none $image sh -c 'exit 5' >/dev/null
	docker start box >/dev/null
	is 5 "$(docker wait box)"
	exits 5 docker start -a box
	docker create --name broken --network none $image /no/such/program >/dev/null
	fails '*no such file or directory*' docker start broken
	is created "$(field '{{.State.Status}}' broken)"
}

scenario_exec() {
	docker run -d --name box --network none --user 1000 -e a=b $image sleep 1000 >/dev/null
	says 'in b' docker exec box sh -c 'echo in $a'
	says '1000' docker exec box id -u
	says '0' docker exec --user 0 box id -u
	says '0 5' docker exec --user 0:5 box sh -c 'echo $(id -u) $(id -g)'
	says '/mnt x' docker exec -w /mnt -e y=x box sh -c 'echo $PWD $y'
	exits 9 docker exec box sh -c 'exit 9'
	exits 126 docker exec box /etc/not-a-program
	fails '*no-such-program*' docker exec box no-such-program
	is abc "$(echo abc | docker exec -i box cat)"
	docker exec -d box touch /tmp/detached
	eventually docker exec box test -f /tmp/detached
	says 1 docker exec box sh -c 'grep -c sleep /proc/1/cmdline'
	is /dev/pts/0 "$(terminal '/usr/bin/docker -H unix:///run/docker.sock exec -it box tty')"
	says "$(docker exec box cat /proc/1/cgroup)" docker exec box cat /proc/self/cgroup
}

scenario_execs_at_once() {
	local i pids=()
	docker run -d --name box --network none $image sleep 1000 >/dev/null
	for i in $(seq 20); do
		docker exec box sh -c "exit $i" &
		pids+=($!)
	done
	ended_with_their_numbers "${pids[@]}"
}

scenario_attach_and_signals() {
	docker create -i --name box --network none $image cat >/dev/null
	is typed "$(echo typed | docker start -a -i box)"
	docker run -d --name says --network none $image sh -c 'until [ -f /tmp/go ]; do sleep 0.1; done; echo heard; exit 4' >/dev/null
	(sleep 2; docker exec says touch /tmp/go) &
	is $'heard\n4' "$(code=0; docker attach says || code=$?; echo "$code")"
	# A client in the foreground hands signals on.
	timeout --foreground "$PATIENCE" /usr/bin/docker -H unix:///run/docker.sock run --name told --network none $image \
		sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done' >"$work/told" &
	local client=$! code=0
	eventually grep -q ready "$work/told"
	kill -TERM "$client"
	wait "$client" || code=$?
	is 3 $code
}

scenario_limits_inside() {
	needs_controllers
	says 67108864 run --memory 64m $image sh -c "$(limit memory/memory.limit_in_bytes memory.max)"
	says 50 run --pids-limit 50 $image sh -c "$(limit pids/pids.max pids.max)"
	says 50000 run --cpus 0.5 $image sh -c "$(limit cpu/cpu.cfs_quota_us cpu.max)"
	says 0 run --cpuset-cpus 0 $image sh -c "$(limit cpuset/cpuset.cpus cpuset.cpus)"
	says 512 run --cpu-shares 512 $image sh -c 'cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || echo 512'
	[ ! -d /sys/fs/cgroup/memory ] || {
		says 33554432 run --memory 64m --memory-reservation 32m $image cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes
		says 10 run --memory-swappiness 10 $image cat /sys/fs/cgroup/memory/memory.swappiness
		says 'oom_kill_disable 1' run --memory 64m --oom-kill-disable $image sed -n 1p /sys/fs/cgroup/memory/memory.oom_control
	}
	fails "*can't fork*" run --pids-limit 5 $image sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done'
}

scenario_oom() {
	needs_controllers
	docker run -d --name victim --network none --memory 32m --memory-swap 32m $image sh -c 'tail /dev/zero; sleep 1000' >/dev/null
	eventually oom_was_told
	# It is in the state from the end on.
	docker kill victim >/dev/null
	docker wait victim >/dev/null
	says true field '{{.State.OOMKilled}}' victim
}
oom_was_told() {
	docker events --since 10m --until "$(($(date +%s) + 1))" --filter container=victim --filter event=oom --format '{{.Action}}' | grep -q oom
}

scenario_update() {
	needs_controllers
	docker run -d --name box --network none --memory 64m --memory-swap 64m $image sleep 1000 >/dev/null
	docker update --memory 128m --memory-swap 128m --cpus 0.5 --pids-limit 33 box >/dev/null
	says 134217728 docker exec box sh -c "$(limit memory/memory.limit_in_bytes memory.max)"
	says 50000 docker exec box sh -c "$(limit cpu/cpu.cfs_quota_us cpu.max)"
	says 33 docker exec box sh -c "$(limit pids/pids.max pids.max)"
	docker update --memory 96m --memory-swap 96m box >/dev/null
	says 100663296 docker exec box sh -c "$(limit memory/memory.limit_in_bytes memory.max)"
}

scenario_pause() {
	docker run -d --name box --network none $image sleep 1000 >/dev/null
	docker pause box >/dev/null
	says paused field '{{.State.Status}}' box
	fails '*is paused*' docker exec box true
	docker unpause box >/dev/null
	says in docker exec box echo in
	docker pause box >/dev/null
	docker kill box >/dev/null 2>&1 || docker unpause box >/dev/null
	docker rm -f box >/dev/null
}

scenario_kill_and_stop() {
	docker run -d --name box --network none $image sh -c 'trap "echo got" USR1; trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
	becomes ready docker logs box
	docker kill -s USR1 box >/dev/null
	becomes $'ready\ngot' docker logs box
	docker stop -t 60 box >/dev/null
	says 3 field '{{.State.ExitCode}}' box
	docker run -d --name second --network none $image sleep 1000 >/dev/null
	docker kill second >/dev/null
	is 137 "$(docker wait second)"
	docker run -d --name third --network none $image sleep 1000 >/dev/null
	docker stop -t 1 third >/dev/null
	says 137 field '{{.State.ExitCode}}' third
}

scenario_restart() {
	docker run -d --name box --network none $image sleep 1000 >/dev/null
	local before
	before=$(field '{{.State.Pid}}' box)
	docker restart -t 0 box >/dev/null
	says running field '{{.State.Status}}' box
	[ "$before" != "$(field '{{.State.Pid}}' box)" ]
}

scenario_restart_policy() {
	docker run -d --name box --network none --restart on-failure:2 $image sh -c 'echo x; exit 1' >/dev/null
	becomes '2 exited' field '{{.RestartCount}} {{.State.Status}}' box
	is $'x\nx\nx' "$(docker logs box)"
}

scenario_stats() {
	needs_controllers
	docker run -d --name box --network none --memory 64m $image sleep 1000 >/dev/null
	like '1 */ 64MiB' "$(docker stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' box)"
}

scenario_events() {
	docker run --name told --network none $image true
	like '*create*attach*start*die*' "$(docker events --since 10m --until "$(($(date +%s) + 1))" --filter container=told --format '{{.Action}}' | tr '\n' ' ')"
}

scenario_default_seccomp() {
	says $'Seccomp:\t2' run $image grep -w Seccomp: /proc/self/status
	fails '*Operation not permitted*' run $image unshare -U true
	fails '*ot permitted*' run --cap-add SYS_TIME $image sh -c 'keyctl 2>/dev/null; unshare -m true'
	says $'Seccomp:\t0' run --security-opt seccomp=unconfined $image grep -w Seccomp: /proc/self/status
	exits 0 run --security-opt seccomp=unconfined $image unshare -U true
}

scenario_own_seccomp() {
	cat >"$work/seccomp.json" <<-E
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
	E
	fails '*not supported*' run --security-opt "seccomp=$work/seccomp.json" $image mkdir /tmp/x
	exits 0 run --security-opt "seccomp=$work/seccomp.json" $image touch /tmp/x
}

scenario_capabilities() {
	says $'CapEff:\t0000000000000000' run --cap-drop all $image grep CapEff /proc/self/status
	says $'CapEff:\t0000000000000001' run --cap-drop all --cap-add CHOWN $image grep CapEff /proc/self/status
	exits 0 run --cap-add SYS_ADMIN $image mount -t tmpfs tmpfs /mnt
	exits 1 run $image sh -c 'mount -t tmpfs tmpfs /mnt || exit 1'
	says $'NoNewPrivs:\t1' run --security-opt no-new-privileges $image grep NoNewPrivs /proc/self/status
	says $'CapEff:\t0000000000000000' run --user 1000 $image grep CapEff /proc/self/status
}

scenario_privileged() {
	may_do 24 || [[ $(docker version --format '{{.Server.Version}}') != 20.10.* ]] || skip 'CAP_SYS_RESOURCE is missing, which docker 20.10 demands'
	exits 0 run --privileged $image mount -t tmpfs tmpfs /mnt
	docker run -d --name box --network none --security-opt seccomp=unconfined $image sleep 1000 >/dev/null
	exits 0 docker exec --privileged box mount -t tmpfs tmpfs /mnt
}

scenario_devices() {
	says '1 5' run --device /dev/zero:/dev/nought $image stat -c '%t %T' /dev/nought
	exits 0 run --device /dev/zero:/dev/nought $image head -c 0 /dev/nought
	# Not one of those that every container may use.
	[ ! -c /dev/kmsg ] || fails '*ot permitted*' run --device /dev/kmsg:/dev/messages:r $image sh -c 'echo > /dev/messages'
	fails '*ot permitted*' run $image sh -c 'mknod /tmp/d c 1 1 && cat /tmp/d'
	exits 0 run --device-cgroup-rule 'c 10:200 rwm' $image mknod /tmp/d c 10 200
	exits 0 run $image sh -c 'echo > /dev/null && head -c 1 /dev/urandom'
}

scenario_masked() {
	says 0 run $image sh -c 'cat /proc/keys /proc/timer_list | wc -c'
	fails '*ead-only*' run $image sh -c 'echo 1 > /proc/sys/kernel/panic'
	fails '*ead-only*' run $image mkdir /sys/x
}

scenario_read_only() {
	fails '*ead-only*' run --read-only $image touch /x
	exits 0 run --read-only --tmpfs /tmp $image touch /tmp/x
	exits 0 run --read-only -v "$work:/data" $image touch /data/from-read-only
	[ -f "$work/from-read-only" ]
}

scenario_tmpfs() {
	says tmpfs run --tmpfs /mnt $image stat -fc %T /mnt
	says 1024 run --tmpfs /mnt:size=1m $image sh -c "df -k /mnt | tail -n 1 | awk '{print \$2}'"
	fails '*ermission denied*' run --tmpfs /mnt:noexec $image sh -c 'cp /bin/busybox /mnt/true; /mnt/true'
}

scenario_volumes() {
	mkdir -p "$work/data"
	echo inside >"$work/data/file"
	says inside run -v "$work/data:/data" $image cat /data/file
	exits 0 run -v "$work/data:/data" $image sh -c 'echo new > /data/new'
	is new "$(cat "$work/data/new")"
	fails '*ead-only*' run -v "$work/data:/data:ro" $image touch /data/x
	says inside run -v "$work/data/file:/etc/one" $image cat /etc/one
	exits 0 run -v named:/data $image sh -c 'echo kept > /data/x'
	says kept run -v named:/data $image cat /data/x
	docker volume rm named >/dev/null
	mount --bind "$work/data" "$work/data"
	mount --make-shared "$work/data"
	says inside run --mount "type=bind,source=$work/data,target=/data,bind-propagation=rslave" $image cat /data/file
}

scenario_terminal() {
	local docker='timeout --foreground "$PATIENCE" /usr/bin/docker -H unix:///run/docker.sock run --rm --network none'
	is /dev/pts/0 "$(terminal "$docker -it $image tty")"
	like '*code=4*' "$(terminal "$docker -it $image sh -c 'exit 4'; echo code=\$?")"
	like '*sized*' "$(terminal "stty rows 33 cols 77; $docker -it $image sh -c 'until [ \"\$(stty size)\" = \"33 77\" ]; do sleep 0.1; done; echo sized'")"
	is 1000000 "$(terminal "$docker -t $image sh -c 'head -c 1000000 /dev/zero | tr \"\\\\0\" x'" | tr -dc x | wc -c)"
	like '*typed-word*typed-word*' "$(
		{ echo 'typed-word'; } >"$work/first" 
		[ -p "$work/keys" ] || mkfifo "$work/keys"
		exec 9<>"$work/keys"
		cat "$work/first" >&9
		terminal "$docker -it $image sh -c 'read line; echo again \$line'"
	)"
}

scenario_init() {
	like '*docker-init*' "$(run --init $image cat /proc/1/cmdline | tr '\0' ' ')"
	exits 6 run --init $image sh -c 'exit 6'
}

scenario_pid_of_container() {
	docker run -d --name box --network none $image sleep 1000 >/dev/null
	says sleep run --pid container:box $image cat /proc/1/comm
	says yes run --pid host $image sh -c "[ \$\$ -gt 1 ] && echo yes"
	docker run -d --name ipc --ipc shareable --network none $image sleep 1000 >/dev/null
	is "$(docker exec ipc readlink /proc/self/ns/ipc)" "$(run --ipc container:ipc $image readlink /proc/self/ns/ipc)"
	is "$(hostname)" "$(run --uts host $image hostname)"
}

scenario_network_none_and_host() {
	says lo run $image ls /sys/class/net
	is "$(ip -o link | wc -l)" "$(docker run --rm --network host $image sh -c 'ip -o link | wc -l')"
}

scenario_network_bridge() {
	docker run -d --name box $image sh -c 'mkdir /www; echo page > /www/index.html; httpd -f -p 80 -h /www' >/dev/null
	local address
	address=$(field '{{.NetworkSettings.IPAddress}}' box)
	becomes page docker run --rm $image wget -qO- "http://$address/"
	is "$(docker exec box readlink /proc/self/ns/net)" "$(docker run --rm --network container:box $image readlink /proc/self/ns/net)"
	says page docker run --rm --network container:box $image wget -qO- http://127.0.0.1/
}

scenario_own_network() {
	docker network create own >/dev/null
	docker run -d --name box --network own $image sleep 1000 >/dev/null
	exits 0 docker run --rm --network own $image ping -c 1 -W 30 box
	docker rm -f box >/dev/null
	docker network rm own >/dev/null
}

scenario_published_port() {
	docker run -d --name box -p 127.0.0.1:8099:80 $image sh -c 'mkdir /www; echo page > /www/index.html; httpd -f -p 80 -h /www' >/dev/null
	becomes page busybox wget -qO- http://127.0.0.1:8099/
}

scenario_healthcheck() {
	docker run -d --name box --network none --health-cmd 'test -f /tmp/well' --health-interval 1s --health-retries 1 $image \
		sh -c 'touch /tmp/well; sleep 1000' >/dev/null
	becomes healthy field '{{.State.Health.Status}}' box
	docker exec box rm /tmp/well
	becomes unhealthy field '{{.State.Health.Status}}' box
}

scenario_twenty_at_once() {
	local i pids=()
	for i in $(seq 20); do
		run $image sh -c "exit $i" &
		pids+=($!)
	done
	ended_with_their_numbers "${pids[@]}"
}

scenario_build() {
	mkdir -p "$work/build"
	cat >"$work/build/Dockerfile" <<-E
		FROM $image
		ENV word=said
		RUN echo \$word > /tmp/a && id -u >> /tmp/a
		USER user
		WORKDIR /tmp
		RUN id -u > /tmp/b && pwd >> /tmp/b
		CMD ["cat", "/tmp/a", "/tmp/b"]
	E
	DOCKER_BUILDKIT=0 docker build -q --network none -t built "$work/build" >/dev/null
	says $'said\n0\n1000\n/tmp' run built
	docker rmi -f built >/dev/null
	echo 'RUN exit 3' >>"$work/build/Dockerfile"
	fails '*non-zero code: 3*' env DOCKER_BUILDKIT=0 /usr/bin/docker -H unix:///run/docker.sock build -q --network none -t built "$work/build"
}

scenario_build_with_buildkit() {
	[ -e /usr/libexec/docker/cli-plugins/docker-buildx ] || [[ $(docker version --format '{{.Client.Version}}') == 20.10.* ]] || skip 'docker-buildx is not installed'
	mkdir -p "$work/kit"
	printf 'FROM %s\nRUN echo said > /tmp/a && cat /proc/1/comm >> /tmp/a\nCMD ["cat", "/tmp/a"]\n' $image >"$work/kit/Dockerfile"
	DOCKER_BUILDKIT=1 docker build --progress plain --network none -t built "$work/kit"
	says $'said\ncat' run built
	docker rmi -f built >/dev/null
}

scenario_compose() {
	command -v docker-compose >/dev/null || skip 'docker-compose is not installed'
	mkdir -p "$work/compose"
	cat >"$work/compose/docker-compose.yml" <<-E
		version: "3"
		services:
		  web:
		    image: $image
		    command: ["sh", "-c", "mkdir /www; echo page > /www/index.html; httpd -f -p 80 -h /www"]
		  asks:
		    image: $image
		    depends_on: [web]
		    command: ["sh", "-c", "until wget -qO- http://web/; do sleep 0.1; done; sleep 1000"]
	E
	local compose="timeout 120 docker-compose -H unix:///run/docker.sock -f $work/compose/docker-compose.yml -p box"
	$compose up -d
	becomes page sh -c "$compose logs --no-color asks | sed -n 's/.*| \\(page\\)\$/\\1/p'"
	$compose down -t 0
}

scenario_swarm() {
	docker swarm init --advertise-addr 127.0.0.1 >/dev/null
	docker service create -d --name many --replicas 2 --no-resolve-image --network host $image sleep 1000 >/dev/null
	becomes 2/2 docker service ls --format '{{.Replicas}}'
	docker rm -f "$(docker ps -q | head -n 1)" >/dev/null
	becomes 2 sh -c "timeout $PATIENCE /usr/bin/docker -H unix:///run/docker.sock service ps many --filter desired-state=running --format '{{.CurrentState}}' | grep -c ^Running"
	docker service scale -d many=1 >/dev/null
	becomes 1/1 docker service ls --format '{{.Replicas}}'
	docker service rm many >/dev/null
	docker swarm leave --force >/dev/null
}

scenario_live_restore() {
	daemon live
	docker run -d --name box --network none $image sh -c 'trap "exit 4" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
	becomes ready docker logs box
	local pid
	pid=$(field '{{.State.Pid}}' box)
	daemon_stop dockerd
	kill -0 "$pid"
	rm "$work/mode"
	daemon live
	says "running $pid" field '{{.State.Status}} {{.State.Pid}}' box
	says in docker exec box echo in
	docker stop -t 60 box >/dev/null
	says 4 field '{{.State.ExitCode}}' box
	docker rm box >/dev/null
}

# A daemon that is killed finds its containers when it is back, and does away with those that it is not to keep.
scenario_daemon_killed() {
	docker run -d --name box --network none $image sleep 1000 >/dev/null
	docker run -d --name always --network none --restart always $image sleep 1000 >/dev/null
	local pid
	pid=$(field '{{.State.Pid}}' box)
	kill -KILL "$(cat "$work/dockerd.pid")"
	eventually gone "$(cat "$work/dockerd.pid")"
	rm "$work/mode" /run/docker.pid
	daemon plain
	becomes exited field '{{.State.Status}}' box
	eventually gone "$pid"
	becomes running field '{{.State.Status}}' always
	says in docker exec always echo in
}

scenario_cgroup_namespace() {
	is "$(readlink /proc/self/ns/cgroup)" "$(run --cgroupns host $image readlink /proc/self/ns/cgroup)"
	[ "$(readlink /proc/self/ns/cgroup)" != "$(run --cgroupns private $image readlink /proc/self/ns/cgroup)" ]
}

scenario_userns_remap() {
	if ! grep -qx nobody:200000:65536 /etc/subuid; then
		echo nobody:200000:65536 >"$work/subids"
		# dockerd looks for the group of the setting by the user's name.
		printf 'nobody:200000:65536\nnogroup:200000:65536\n' >"$work/subids"
		mount --bind "$work/subids" /etc/subuid
		mount --bind "$work/subids" /etc/subgid
	fi
	daemon userns
	says '0 200000 65536' run $image sh -c 'echo $(cat /proc/self/uid_map)'
	says hello run $image echo hello
	docker run -d --name box --network none $image sleep 1000 >/dev/null
	is 200000 "$(stat -c %u "/proc/$(field '{{.State.Pid}}' box)")"
	says '0 200000 65536' docker exec box sh -c 'echo $(cat /proc/self/uid_map)'
	exits 0 run $image sh -c 'touch /x && chown user /x'
	says '0 0 4294967295' run --userns host $image sh -c 'echo $(cat /proc/self/uid_map)'
	exits 0 docker run --rm $image ip link
	after
}

# A container is a scope, whose properties the runtime sets.
scenario_systemd_scope() {
	needs_controllers_of_version_2
	local id unit
	is systemd "$(docker info --format '{{.CgroupDriver}}')"
	docker run -d --name box --network none --memory 64m --cpus 0.5 --pids-limit 50 $image sleep 1000 >/dev/null
	id=$(field '{{.Id}}' box)
	unit=docker-$id.scope
	unit_is "$unit" ActiveState=active Slice="$group" MemoryMax=67108864 CPUQuotaPerSecUSec=500ms TasksMax=50 Delegate=yes
	says $'67108864\n50000 100000\n50' docker exec box sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max'
	docker update --memory 128m --memory-swap 256m --pids-limit 60 box >/dev/null
	unit_is "$unit" MemoryMax=134217728 TasksMax=60
	# systemd writes what it knows once more.
	systemctl daemon-reload
	says $'134217728\n60' docker exec box sh -c 'cd /sys/fs/cgroup; cat memory.max pids.max'
	docker pause box >/dev/null
	is 1 "$(cat "/sys/fs/cgroup/$group/$unit/cgroup.freeze")"
	systemctl daemon-reload
	is 1 "$(cat "/sys/fs/cgroup/$group/$unit/cgroup.freeze")"
	docker unpause box >/dev/null
	is 0 "$(cat "/sys/fs/cgroup/$group/$unit/cgroup.freeze")"
	docker kill box >/dev/null
	says 137 docker wait box
	eventually no_units_left "$unit"
	docker start box >/dev/null
	unit_is "$unit" ActiveState=active MemoryMax=134217728
	# Who is stopped by systemd is stopped for Docker.
	systemctl stop "$unit"
	becomes exited field '{{.State.Status}}' box
	docker rm box >/dev/null
	fails '*no such file or directory*' run $image /no/such/program
	eventually no_units_left 'docker-*'
}

image_archive "$work/busybox.tar"
scenarios "$@"
