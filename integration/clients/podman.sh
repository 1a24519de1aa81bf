#!/bin/bash
# Podman, as root and as an ordinary user: its containers run on RUNTIME. See engine.sh and README.md.
#
# Packages: podman conmon catatonit netavark aardvark-dns golang-github-containers-common busybox-static uidmap slirp4netns jq
#   fuse-overlayfs iptables iproute2 procps util-linux bsdextrautils
# shellcheck source=engine.sh
. "$(dirname "$0")/engine.sh"
# shellcheck disable=SC2034
QUICK=(readme run_and_exit_codes terminal exec limits_inside pause detached pod user_namespaces buildah_run rootless_run rootless_exec)
QUICK_SYSTEMD=(systemd_scope systemd_rootless run_and_exit_codes exec limits_inside update pause stats detached pod storage failed_start twenty_at_once)
isolate podman "$@"

# Podman connects to conmon and starts the container in one go: on a busy machine what the container says before conmon has accepted the
# connection is in `podman logs` only, about once in 150 times.
MAY_LOSE=1
export CONTAINERS_CONF=/etc/containers/containers.conf
# The commands that make cgroups say which; the scenarios, that they want no network.
podman() { timeout --foreground "$PATIENCE" /usr/bin/podman "$@"; }
run() { podman run --rm --network none --cgroup-parent "$parent" "$@"; }
start() { podman run -d --network none --cgroup-parent "$parent" "$@" >/dev/null; }
field() { podman inspect --format "$1" "$2"; }
image=busybox:test

# Only the settings of this script count. settings DIRECTORY ROOT RUNROOT
settings() {
	mkdir -p "$1" "$2"
	cat >"$1/containers.conf" <<-E
		[containers]
		default_ulimits = ["nofile=$(ulimit -Sn):$(ulimit -Hn)", "nproc=$(ulimit -Su):$(ulimit -Hu)"]
		log_driver = "k8s-file"
		$(controllers || echo pids_limit = 0)
		[engine]
		runtime = "$name"
		cgroup_manager = "$driver"
		events_logger = "file"
		infra_image = "localhost/pause:test"
		# Podman reads the reason of a failure, and so tells 126 and 127, only from runtimes of this list.
		runtime_supports_json = ["$name"]
		[engine.runtimes]
		$name = ["$runtime"]
		[network]
		network_backend = "netavark"
	E
	printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$2" "$3" >"$1/storage.conf"
	echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$1/policy.json"
	: >"$1/registries.conf"
}

before() { :; }

after() {
	podman pod rm -fa -t 0 >/dev/null 2>&1 || true
	podman rm -fa -t 0 >/dev/null
	[ ! -d "$work/home" ] || ordinary podman rm -fa -t 0 >/dev/null
}

nothing_left() {
	after
	# Those of containers; podman forgets its own, of pods and conmon.
	eventually no_container_groups_left
	is '' "$(podman ps -aq)"
	is '' "$(ls /run/runc /run/corten 2>/dev/null | grep -v ':$' | grep -v '^$' || true)"
}

no_container_groups_left() {
	is '' "$(find /sys/fs/cgroup -type d -path "*/$group/*" -name 'libpod-*' ! -name '*conmon*' 2>/dev/null)"
}

scenario_run_and_exit_codes() {
	says hello run $image echo hello
	exits 7 run $image sh -c 'exit 7'
	exits 143 run --pid host $image sh -c 'kill -TERM $$; sleep 1000'
	exits 127 run $image /no/such/program
	exits 127 run $image no-such-program
	exits 126 run $image /etc/not-a-program
	input=abc says abc run -i $image cat
}

scenario_readme() {
	mkdir -p "$work/readme"
	{
		readme_lines '[engine.runtimes]'
		# What this machine needs, with any runtime.
		printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=%s:%s"]\n' "$(ulimit -Sn)" "$(ulimit -Hn)" "$(ulimit -Su)" "$(ulimit -Hu)"
		controllers || echo pids_limit = 0
	} >"$work/readme/containers.conf"
	export CONTAINERS_CONF=$work/readme/containers.conf
	says corten podman info --format '{{.Host.OCIRuntime.Name}}'
	says hello run $image echo hello
	exits 127 run $image no-such-program
	exits 126 run $image /etc/not-a-program
	says hello podman --runtime "$runtime" run --rm --network none --cgroup-parent "$parent" $image echo hello
}

scenario_environment() {
	says '/tmp b' run -w /tmp -e a=b $image sh -c 'echo $PWD $a'
	says box run --hostname box $image hostname
	says '1000 1001' run --user 1000:1001 $image sh -c 'echo $(id -u) $(id -g)'
	says '0 5 6' run --group-add 5 --group-add 6 $image id -G
	says 1 run --sysctl net.ipv4.ip_forward=1 $image cat /proc/sys/net/ipv4/ip_forward
	says 77 run --ulimit nofile=77:77 --ulimit "nproc=$(ulimit -Su):$(ulimit -Hu)" $image sh -c 'ulimit -n'
	says 027 run --umask 027 $image sh -c 'umask | tail -c 4'
}

scenario_security() {
	says $'Seccomp:\t2' run $image grep -w Seccomp: /proc/self/status
	says $'CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000' \
		run --cap-drop all $image grep -E 'Cap(Inh|Prm|Eff)' /proc/self/status
	says $'NoNewPrivs:\t1' run --security-opt no-new-privileges $image grep NoNewPrivs /proc/self/status
	says 0 run $image sh -c 'cat /proc/keys /proc/timer_list | wc -c'
	exits 0 run --privileged $image mount -t tmpfs tmpfs /mnt
	says '1 5' run --device /dev/zero:/dev/nought $image stat -c '%t %T' /dev/nought
}

scenario_storage() {
	mkdir -p "$work/data"
	echo inside >"$work/data/file"
	says inside run -v "$work/data:/data" $image cat /data/file
	exits 0 run -v "$work/data:/data" $image sh -c 'echo new > /data/new'
	is new "$(cat "$work/data/new")"
	fails '*ead-only*' run -v "$work/data:/data:ro" $image touch /data/x
	fails '*ead-only*' run --read-only $image touch /x
	exits 0 run --read-only $image touch /tmp/x
	says tmpfs run --tmpfs /mnt $image stat -fc %T /mnt
}

scenario_terminal() {
	local podman="timeout --foreground $PATIENCE /usr/bin/podman run --rm --network none --cgroup-parent $parent"
	is /dev/pts/0 "$(terminal "$podman -it $image tty")"
	like '*code=4*' "$(terminal "$podman -it $image sh -c 'exit 4'; echo code=\$?")"
	like '*sized*' "$(terminal "stty rows 33 cols 77; $podman -it $image sh -c 'until [ \"\$(stty size)\" = \"33 77\" ]; do sleep 0.1; done; echo sized'")"
}

scenario_exec() {
	# Podman's AppArmor profile holds for a privileged exec as well: it would forbid the mount.
	start --name box -e a=b --security-opt apparmor=unconfined $image sleep 1000
	says 'in b' podman exec box sh -c 'echo in $a'
	exits 9 podman exec box sh -c 'exit 9'
	says 1000 podman exec --user 1000 box id -u
	says '/mnt x' podman exec -w /mnt -e y=x box sh -c 'echo $PWD $y'
	exits 127 podman exec box /no/such/program
	exits 126 podman exec box /etc/not-a-program
	input=abc says abc podman exec -i box cat
	is /dev/pts/0 "$(terminal 'timeout --foreground "$PATIENCE" /usr/bin/podman exec -it box tty')"
	podman exec -d box touch /tmp/detached
	eventually podman exec box test -f /tmp/detached
	exits 0 podman exec --privileged box mount -t tmpfs tmpfs /mnt
}

scenario_limits_inside() {
	needs_controllers
	says 67108864 run --memory 64m $image sh -c "$(limit memory/memory.limit_in_bytes memory.max)"
	says 50 run --pids-limit 50 $image sh -c "$(limit pids/pids.max pids.max)"
	says 50000 run --cpus 0.5 $image sh -c "$(limit cpu/cpu.cfs_quota_us cpu.max)"
}

scenario_update() {
	needs_controllers
	start --name box --memory 64m $image sleep 1000
	podman update --memory 128m --cpus 0.5 box >/dev/null
	says 134217728 podman exec box sh -c "$(limit memory/memory.limit_in_bytes memory.max)"
	says 50000 podman exec box sh -c "$(limit cpu/cpu.cfs_quota_us cpu.max)"
}

scenario_pause() {
	start --name box $image sleep 1000
	podman pause box >/dev/null
	says paused field '{{.State.Status}}' box
	podman unpause box >/dev/null
	says running field '{{.State.Status}}' box
}

scenario_detached() {
	start --rm --name box $image sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'
	becomes ready podman logs box
	says true field '{{.State.Running}}' box
	like '*sleep*' "$(podman top box args)"
	podman stop -t 60 box >/dev/null
	eventually sh -c '! /usr/bin/podman container exists box'
	podman create --name made --network none --cgroup-parent "$parent" $image sh -c 'exit 5' >/dev/null
	podman start made >/dev/null
	says 5 podman wait made
	exits 5 podman start -a made
	start --name long $image sleep 1000
	podman kill long >/dev/null
	says 137 podman wait long
}

scenario_stats() {
	needs_controllers
	start --name box --memory 64m $image sleep 1000
	like '1 */*67.11MB' "$(podman stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' box)"
}

scenario_init() {
	says podman-init run --init --entrypoint '' $image sh -c 'cat /proc/1/comm'
	exits 6 run --init $image sh -c 'exit 6'
}

scenario_namespaces() {
	says yes run --pid host $image sh -c "[ \$\$ -gt 1 ] && echo yes"
	start --name box $image sleep 1000
	says sleep run --pid container:box $image cat /proc/1/comm
	is "$(heard podman exec box readlink /proc/self/ns/net)" "$(heard podman run --rm --cgroup-parent "$parent" --network container:box $image readlink /proc/self/ns/net)"
	is "$(readlink /proc/self/ns/cgroup)" "$(heard run --cgroupns host $image readlink /proc/self/ns/cgroup)"
	[ "$(readlink /proc/self/ns/cgroup)" != "$(heard run --cgroupns private $image readlink /proc/self/ns/cgroup)" ]
	is "$(readlink /proc/self/ns/net)" "$(heard podman run --rm --cgroup-parent "$parent" --network host $image readlink /proc/self/ns/net)"
}

scenario_systemd_off() {
	# What Podman lays out for a systemd as the program, only if it is asked to.
	says tmpfs run --systemd=always $image stat -fc %T /run/lock
	says none run --systemd=false $image sh -c 'stat -fc %T /run/lock 2>/dev/null || echo none'
	exits 7 run --systemd=false $image sh -c 'exit 7'
}

scenario_preserved_descriptors() {
	says inherited run --preserve-fds 1 $image sh -c 'cat <&3' 3< <(echo inherited)
	start --name box $image sleep 1000
	says inherited podman exec --preserve-fds 1 box sh -c 'cat <&3' 3< <(echo inherited)
}

scenario_hooks() {
	mkdir -p "$work/hooks"
	cat >"$work/hook" <<-E
		#!/bin/sh
		sed 's/.*"status": *"\([a-z]*\)".*/\1/' | tr -d '\n' >>"$work/hook-ran"
		echo " \$1" >>"$work/hook-ran"
	E
	chmod 755 "$work/hook"
	for stage in prestart createRuntime poststop; do
		echo '{"version": "1.0.0", "hook": {"path": "'"$work/hook"'", "args": ["hook", "'$stage'"]}, "when": {"always": true}, "stages": ["'$stage'"]}' >"$work/hooks/$stage.json"
	done
	exits 0 podman --hooks-dir "$work/hooks" run --rm --network none --cgroup-parent "$parent" $image true
	# Newer ones add the first to the second.
	becomes $'creating createRuntime\ncreating prestart\nstopped poststop' sh -c "sed 's/^created/creating/' $work/hook-ran | sort"
}

scenario_own_seccomp() {
	cat >"$work/seccomp.json" <<-E
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
	E
	fails '*not supported*' run --security-opt "seccomp=$work/seccomp.json" $image mkdir /tmp/x
	exits 0 run --security-opt "seccomp=$work/seccomp.json" $image touch /tmp/x
	says $'Seccomp:\t0' run --security-opt seccomp=unconfined $image grep -w Seccomp: /proc/self/status
}

scenario_masks() {
	fails '*ead-only*' run $image sh -c 'echo 1 > /proc/sys/kernel/panic'
	says 0 run --security-opt mask=/etc/passwd $image sh -c 'wc -c </etc/passwd'
	[ "$(heard run --security-opt unmask=ALL $image sh -c 'wc -c </proc/keys')" -gt 0 ]
}

scenario_restart_policy() {
	start --name box --restart on-failure:2 $image sh -c 'echo x; exit 1'
	becomes $'x\nx\nx' podman logs box
	becomes exited field '{{.State.Status}}' box
}

scenario_attach() {
	podman create -i --name box --network none --cgroup-parent "$parent" $image cat >/dev/null
	input=typed says typed podman start -a -i box
}

scenario_failed_start() {
	podman create --name broken --network none --cgroup-parent "$parent" $image /no/such/program >/dev/null
	fails '*/no/such/program*o such file or directory*' podman start broken
	podman rm broken >/dev/null
	fails '*no/such/source*' run -v /no/such/source:/data $image true
	no_container_groups_left
	is '' "$(ls "/run/$name" 2>/dev/null)"
}

scenario_network() {
	podman run -d --name box --cgroup-parent "$parent" $image sh -c 'mkdir /www; echo page > /www/index.html; httpd -f -p 80 -h /www' >/dev/null
	becomes page podman run --rm --cgroup-parent "$parent" $image wget -qO- "http://$(field '{{.NetworkSettings.IPAddress}}' box)/"
}

scenario_user_namespaces() {
	says '0 300000 1000' run --uidmap 0:300000:1000 $image sh -c 'echo $(cat /proc/self/uid_map)'
	exits 0 run --uidmap 0:300000:2000 $image sh -c 'touch /x && chown 1000 /x'
	like '0 4*' "$(heard run --userns auto $image sh -c 'echo $(cat /proc/self/uid_map)')"
	start --name box --uidmap 0:300000:1000 $image sleep 1000
	says '0 300000 1000' podman exec box sh -c 'echo $(cat /proc/self/uid_map)'
}

scenario_idmapped_volume() {
	"$runtime" features 2>/dev/null | jq -e .linux.mountExtensions.idmap.enabled >/dev/null || skip "$name does not map ids of mounts"
	mkdir -p "$work/mapped"
	exits 0 run --uidmap 0:300000:1000 --gidmap 0:300000:1000 -v "$work/mapped:/data:idmap" $image sh -c 'touch /data/x && chown 7 /data/x'
	is 7 "$(stat -c %u "$work/mapped/x")"
	says '0 7' run --uidmap 0:300000:1000 --gidmap 0:300000:1000 -v "$work/mapped:/data:idmap" $image stat -c '%g %u' /data/x
}

scenario_healthcheck() {
	start --name box --health-cmd 'test -f /tmp/well' --health-interval disable --health-retries 1 $image sh -c 'touch /tmp/well; sleep 1000'
	eventually podman healthcheck run box
	podman exec box rm /tmp/well
	exits 1 podman healthcheck run box
}

scenario_pod() {
	podman pod create --name shared --network none --cgroup-parent "$parent" >/dev/null
	podman run -d --pod shared --name first $image sleep 1000 >/dev/null
	podman run -d --pod shared --name second $image sleep 1000 >/dev/null
	is "$(heard podman exec first readlink /proc/self/ns/net)" "$(heard podman exec second readlink /proc/self/ns/net)"
	is "$(heard podman exec first readlink /proc/self/ns/ipc)" "$(heard podman exec second readlink /proc/self/ns/ipc)"
	podman pod stop -t 0 shared >/dev/null
	says exited field '{{.State.Status}}' first
	podman pod start shared >/dev/null
	says running field '{{.State.Status}}' first
	podman pod rm -f -t 0 shared >/dev/null
}

scenario_kube() {
	cat >"$work/pod.yaml" <<-E
		apiVersion: v1
		kind: Pod
		metadata: {name: played}
		spec:
		  containers:
		  - name: one
		    image: localhost/$image
		    imagePullPolicy: Never
		    command: ["sh", "-c", "echo \$word; exec sleep 1000"]
		    env: [{name: word, value: said}]
		    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}
	E
	podman kube play --network none "$work/pod.yaml" >/dev/null
	becomes said podman logs played-one
	says 1000 podman exec played-one id -u
	podman kube generate played | grep -q 'runAsUser: 1000'
	podman kube down "$work/pod.yaml" >/dev/null
	find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + 2>/dev/null || true
}

scenario_twenty_at_once() {
	local i pids=()
	for i in $(seq 20); do
		run $image sh -c "exit $i" &
		pids+=($!)
	done
	ended_with_their_numbers "${pids[@]}"
}

buildah() {
	command -v buildah >/dev/null || skip 'buildah is not installed'
	timeout --foreground "$PATIENCE" buildah "$@"
}

scenario_buildah_run() {
	local made
	made=$(buildah from localhost/$image)
	says hello buildah run --runtime "$runtime" --isolation oci --network none "$made" echo hello
	exits 7 buildah run --runtime "$runtime" --isolation oci --network none "$made" sh -c 'exit 7'
	says 1000 buildah run --runtime "$runtime" --isolation oci --network none --user 1000 "$made" id -u
	mkdir -p "$work/data"
	echo inside >"$work/data/file"
	says inside buildah run --runtime "$runtime" --isolation oci --network none -v "$work/data:/data" "$made" cat /data/file
	says '/mnt b' buildah run --runtime "$runtime" --isolation oci --network none --workingdir /mnt --env a=b "$made" sh -c 'echo $PWD $a'
	says $'CapEff:\t0000000000000000' buildah run --runtime "$runtime" --isolation oci --network none --cap-drop all "$made" grep CapEff /proc/self/status
	fails '*no-such-program*' buildah run --runtime "$runtime" --isolation oci --network none "$made" no-such-program
	like '*/dev/pts/0*' "$(terminal "timeout --foreground $PATIENCE buildah run -t --runtime $runtime --isolation oci --network none $made tty")"
	says said env BUILDAH_RUNTIME="$runtime" BUILDAH_ISOLATION=oci timeout "$PATIENCE" buildah run --network none "$made" echo said
	# The program that was called is this one.
	buildah run --runtime "$runtime" --runtime-flag debug --runtime-flag "log=$work/flag.log" --isolation oci --network none "$made" true
	[ -s "$work/flag.log" ]
	buildah rm "$made" >/dev/null
	is '' "$(ls "/run/$name" 2>/dev/null)"
}

scenario_buildah_build() {
	mkdir -p "$work/build"
	printf 'FROM localhost/%s\nRUN echo said > /a\nUSER 1000\nRUN id -u > /tmp/b\nCMD ["cat", "/a", "/tmp/b"]\n' $image >"$work/build/Dockerfile"
	buildah build --runtime "$runtime" --isolation oci --network none -t built "$work/build"
	says $'said\n1000' run localhost/built
	printf 'FROM localhost/%s\nRUN exit 3\n' $image >"$work/build/Dockerfile"
	fails '*exit status 3*' buildah build --runtime "$runtime" --isolation oci --network none -t built "$work/build"
	podman rmi -f localhost/built >/dev/null
}

scenario_podman_build() {
	mkdir -p "$work/built"
	printf 'FROM localhost/%s\nRUN echo said > /a && id -u >> /a\nCMD ["cat", "/a"]\n' $image >"$work/built/Dockerfile"
	podman build --isolation oci --network none -t built "$work/built"
	says $'said\n0' run localhost/built
	podman rmi -f localhost/built >/dev/null
}

# A user of our own, in files that lie over those of the machine.
rootless_user() {
	[ ! -d "$work/home" ] || return 0
	mkdir -p "$work/etc" "$work/home"
	local file
	for file in passwd group subuid subgid; do cat "/etc/$file" >"$work/etc/$file" 2>/dev/null || : >"$work/etc/$file"; done
	# Not x, which would mean /etc/shadow: the session of systemd asks PAM.
	echo "ordinary:*:54321:54321::$work/home:/bin/sh" >>"$work/etc/passwd"
	echo 'ordinary:x:54321:' >>"$work/etc/group"
	echo ordinary:300000:65536 >>"$work/etc/subuid"
	echo ordinary:300000:65536 >>"$work/etc/subgid"
	for file in passwd group subuid subgid; do mount --bind "$work/etc/$file" "/etc/$file"; done
	# Anybody's, as on most machines; before Podman makes mount namespaces.
	if [ -e /dev/net/tun ]; then
		mknod -m 666 "$work/tun" c 10 200
		mount --bind "$work/tun" /dev/net/tun
	fi
	settings "$work/home/.config/containers" "$work/home/root" "/run/user/54321/containers"
	if [ "$driver" = systemd ]; then
		loginctl enable-linger ordinary
		systemctl start user@54321.service
	else
		mkdir -p /run/user/54321
		chmod 700 /run/user/54321
		chown 54321:54321 /run/user/54321
	fi
	chown -R 54321:54321 "$work/home"
	chmod 644 "$work/busybox.tar"
	ordinary podman load -qi "$work/busybox.tar" >/dev/null
	ordinary podman tag docker.io/library/$image localhost/$image
	tar -C "$work/pause" -c . | ordinary podman import --quiet --change 'ENTRYPOINT ["/pause", "-P"]' - localhost/pause:test >/dev/null
}

ordinary() {
	(
		cd /
		# By USER, Podman looks up ids, and runtimes choose their state directory.
		export USER=ordinary HOME=$work/home XDG_RUNTIME_DIR=/run/user/54321 CONTAINERS_CONF=$work/home/.config/containers/containers.conf
		if [ "$driver" = systemd ]; then
			export DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/54321/bus
			set -- systemd-run --user --scope --quiet --property=Delegate=yes -- "$@"
		fi
		exec timeout --foreground "$PATIENCE" setpriv --reuid 54321 --regid 54321 --init-groups "$@"
	)
}

rootless() { ordinary podman run --rm --network none "$@"; }

scenario_rootless_run() {
	rootless_user
	says hello rootless $image echo hello
	exits 7 rootless $image sh -c 'exit 7'
	exits 127 rootless $image no-such-program
	exits 126 rootless $image /etc/not-a-program
	input=abc says abc rootless -i $image cat
	says $'Seccomp:\t2' rootless $image grep -w Seccomp: /proc/self/status
	says $'CapEff:\t0000000000000000' rootless --cap-drop all $image grep CapEff /proc/self/status
	fails '*ead-only*' rootless --read-only $image touch /x
	says podman-init rootless --init --entrypoint '' $image sh -c 'cat /proc/1/comm'
	exits 0 rootless --privileged $image mount -t tmpfs tmpfs /mnt
	is /dev/pts/0 "$(rootless_terminal "podman run --rm --network none -it $image tty")"
}

# As `ordinary` on a terminal.
rootless_terminal() {
	export -f ordinary
	export work driver
	terminal "bash -c 'ordinary $1'"
}

scenario_rootless_user_namespaces() {
	rootless_user
	says '0 54321 1 1 300000 65536' rootless $image sh -c 'echo $(cat /proc/self/uid_map)'
	says 54321 rootless --userns keep-id $image id -u
	says '0 1 54321 54321 0 1 54322 54322 11215' rootless --userns keep-id $image sh -c 'echo $(cat /proc/self/uid_map)'
	exits 0 rootless $image sh -c 'touch /x && chown 1000 /x'
	like '0 1 *' "$(heard rootless --userns auto $image sh -c 'echo $(cat /proc/self/uid_map)')"
	says '0 1 1000' rootless --uidmap 0:1:1000 $image sh -c 'echo $(cat /proc/self/uid_map)'
}

scenario_rootless_exec() {
	rootless_user
	ordinary podman run -d --name box --network none -e a=b $image sleep 1000 >/dev/null
	says 'in b' ordinary podman exec box sh -c 'echo in $a'
	exits 9 ordinary podman exec box sh -c 'exit 9'
	exits 127 ordinary podman exec box /no/such/program
	says 1000 ordinary podman exec --user 1000 box id -u
	is /dev/pts/0 "$(rootless_terminal 'podman exec -it box tty')"
	ordinary podman kill box >/dev/null
	says 137 ordinary podman wait box
	ordinary podman rm -f box >/dev/null
	ordinary podman run -d --name mild --network none $image sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
	becomes ready ordinary podman logs mild
	ordinary podman stop -t 60 mild >/dev/null
	says 3 ordinary podman wait mild
	ordinary podman rm mild >/dev/null
}

scenario_rootless_storage() {
	rootless_user
	ordinary mkdir -p "$work/home/data"
	ordinary sh -c "echo inside >$work/home/data/file"
	says inside rootless -v "$work/home/data:/data" $image cat /data/file
	exits 0 rootless -v "$work/home/data:/data" $image touch /data/new
	is 54321 "$(stat -c %u "$work/home/data/new")"
	says tmpfs rootless --tmpfs /mnt $image stat -fc %T /mnt
	says kept rootless -v named:/data $image sh -c 'echo kept >/data/x; cat /data/x'
	ordinary podman volume rm named >/dev/null
}

scenario_rootless_network() {
	rootless_user
	command -v slirp4netns >/dev/null || skip 'slirp4netns is not installed'
	[ -e /dev/net/tun ] || skip 'no /dev/net/tun'
	says tap0 ordinary podman run --rm --network slirp4netns $image sh -c 'ls /sys/class/net | grep tap'
	ordinary podman run -d --name box --network slirp4netns -p 127.0.0.1:8097:80 $image \
		sh -c 'mkdir /www; echo page > /www/index.html; httpd -f -p 80 -h /www' >/dev/null
	becomes page busybox wget -qO- http://127.0.0.1:8097/
	ordinary podman rm -f -t 0 box >/dev/null
}

scenario_rootless_pod() {
	rootless_user
	ordinary podman pod create --name shared --network none >/dev/null
	ordinary podman run -d --pod shared --name first $image sleep 1000 >/dev/null
	ordinary podman run -d --pod shared --name second $image sleep 1000 >/dev/null
	is "$(heard ordinary podman exec first readlink /proc/self/ns/ipc)" "$(heard ordinary podman exec second readlink /proc/self/ns/ipc)"
	ordinary podman pod rm -f -t 0 shared >/dev/null
}

scenario_rootless_healthcheck() {
	rootless_user
	ordinary podman run -d --name box --network none --health-cmd 'test -f /tmp/well' --health-interval disable --health-retries 1 $image \
		sh -c 'touch /tmp/well; sleep 1000' >/dev/null
	eventually ordinary podman healthcheck run box
	ordinary podman exec box rm /tmp/well
	exits 1 ordinary podman healthcheck run box
	ordinary podman rm -f -t 0 box >/dev/null
}

scenario_rootless_buildah() {
	rootless_user
	command -v buildah >/dev/null || skip 'buildah is not installed'
	local made
	made=$(ordinary buildah from localhost/$image)
	says hello ordinary buildah run --runtime "$runtime" --isolation oci --network none "$made" echo hello
	says '0 54321 1 1 300000 65536' ordinary buildah run --runtime "$runtime" --isolation oci --network none "$made" sh -c 'echo $(cat /proc/self/uid_map)'
	exits 7 ordinary buildah run --runtime "$runtime" --isolation oci --network none "$made" sh -c 'exit 7'
	ordinary buildah rm "$made" >/dev/null
}

scenario_rootless_at_once() {
	rootless_user
	local i pids=()
	for i in $(seq 10); do
		rootless $image sh -c "exit $i" &
		pids+=($!)
	done
	for i in $(seq 10); do
		code=0
		wait "${pids[$((i - 1))]}" || code=$?
		is "$i" $code
	done
}

# scope_of_podman COMMAND…: a container is a scope, whose properties the runtime sets. `as` and `manager` of unit_is say whose.
scopes_of_podman() {
	local id unit slice=$1 directory
	shift
	"$@" podman run -d --name box --network none --memory 64m --cpus 0.5 --pids-limit 50 ${slice:+--cgroup-parent "$slice"} $image sleep 1000 >/dev/null
	is systemd "$("$@" podman info --format '{{.Host.CgroupManager}}')"
	id=$("$@" podman inspect --format '{{.Id}}' box)
	unit=libpod-$id.scope
	unit_is "$unit" ActiveState=active Slice="${slice:-user.slice}" MemoryMax=67108864 CPUQuotaPerSecUSec=500ms TasksMax=50 Delegate=yes
	says $'67108864\n50000 100000\n50' "$@" podman exec box sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max'
	"$@" podman update --memory 128m box >/dev/null
	unit_is "$unit" MemoryMax=134217728
	# systemd writes what it knows once more.
	${as-} systemctl ${manager-} daemon-reload
	says $'134217728\n50' "$@" podman exec box sh -c 'cd /sys/fs/cgroup; cat memory.max pids.max'
	directory=/sys/fs/cgroup$(${as-} systemctl ${manager-} show -P ControlGroup "$unit")
	"$@" podman pause box >/dev/null
	says 1 cat "$directory/cgroup.freeze"
	"$@" podman unpause box >/dev/null
	says 0 cat "$directory/cgroup.freeze"
	like '1 */*134.2MB' "$("$@" podman stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' box)"
	exits 9 "$@" podman exec box sh -c 'exit 9'
	"$@" podman kill box >/dev/null
	says 137 "$@" podman wait box
	eventually no_units_left "$unit"
	"$@" podman start box >/dev/null
	unit_is "$unit" ActiveState=active MemoryMax=134217728
	"$@" podman rm -f -t 0 box >/dev/null
	fails '*o such file or directory*' "$@" podman run --rm --network none $image /no/such/program
	eventually no_units_left 'libpod-*'
}

scenario_systemd_scope() {
	needs_controllers_of_version_2
	scopes_of_podman "$group" itself
}
itself() { "$@"; }

# In a session of the user's own systemd.
scenario_systemd_rootless() {
	[ -d /corten/guest ] || skip 'no logind, which has sessions of users'
	rootless_user
	as=ordinary manager=--user scopes_of_podman '' ordinary
	says hello rootless $image echo hello
	exits 7 rootless $image sh -c 'exit 7'
	says '0 54321 1 1 300000 65536' rootless $image sh -c 'echo $(cat /proc/self/uid_map)'
	ordinary podman pod create --name shared --network none >/dev/null
	ordinary podman run -d --pod shared --name first $image sleep 1000 >/dev/null
	ordinary podman run -d --pod shared --name second $image sleep 1000 >/dev/null
	is "$(heard ordinary podman exec first readlink /proc/self/ns/ipc)" "$(heard ordinary podman exec second readlink /proc/self/ns/ipc)"
	ordinary podman pod rm -f -t 0 shared >/dev/null
	as=ordinary manager=--user eventually no_units_left 'libpod-*'
}

settings "$work/etc-containers" "$work/root" /run/containers/storage
mkdir -p /etc/containers
mount --bind "$work/etc-containers" /etc/containers
image_archive "$work/busybox.tar"
podman load -qi "$work/busybox.tar" >/dev/null
podman tag docker.io/library/$image localhost/$image
# What holds a pod's namespaces.
mkdir "$work/pause"
cp /usr/bin/catatonit "$work/pause/pause" 2>/dev/null || cp /usr/libexec/podman/catatonit "$work/pause/pause"
tar -C "$work/pause" -c . | podman import --quiet --change 'ENTRYPOINT ["/pause", "-P"]' - localhost/pause:test >/dev/null
# For --userns auto.
[ -f /etc/subuid ] && {
	printf 'containers:400000:65536\n' >"$work/subids"
	mount --bind "$work/subids" /etc/subuid
	mount --bind "$work/subids" /etc/subgid
}
scenarios "$@"
