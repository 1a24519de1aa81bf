# What the scripts of the engines have in common; they source it. See README.md.
#
#   RUNTIME=corten|runc|crun|PATH  integration/clients/ENGINE.sh [quick | SCENARIO…]
#
# VIEW=v2 shows the engine only version 2 of the cgroups, with whatever controllers the machine has there; v1 only version 1.
#
# CGROUP_DRIVER=systemd: the engine has systemd make the cgroups, one of integration/with-systemd (VIEW is its -g; hybrid where version 1
# is mounted). In the virtual machine of integration/vm/engines that is the machine's, and nothing is isolated, since it is thrown
# away. Scenarios that begin with systemd_ run only so, and QUICK_SYSTEMD is the selection.
#
# A scenario is a function `scenario_NAME` of the script, run in a shell of its own with -e: it fails with its first command that fails,
# and is over after SCENARIO_LIMIT seconds. QUICK names the selection for a gate.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C.UTF-8
SCENARIO_LIMIT=${SCENARIO_LIMIT:-180}
# How long an engine may take to answer, and things to become as they should, in seconds.
export PATIENCE=${PATIENCE:-90}

# Where the program is that RUNTIME names.
runtime_path() {
	case $1 in
	corten) realpath -s "${CORTEN:-$(dirname "$0")/../../target/release/corten}" ;;
	*/*) realpath -s "$1" ;;
	*) PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v "$1" ;;
	esac
}

# isolate ENGINE ARGUMENTS…: goes on in mount, network and pid namespaces of our own, with a private /run: an engine of the machine is
# not touched, and what is left dies with pid 1. Sets runtime, name, work (a directory), group (a cgroup below the root), parent (the
# same as engines take it) and driver (of the cgroups).
isolate() {
	driver=${CGROUP_DRIVER:-cgroupfs}
	if [ "$driver" = systemd ] && [ -d /corten/guest ]; then
		ENGINE_RUNTIME=$(runtime_path "${RUNTIME:-corten}") ENGINE_WORK=$(mktemp -d "/var/tmp/corten-$1.XXXXXX")
		chmod 711 "$ENGINE_WORK"
		# With dashes it would be below corten.slice.
		ENGINE_GROUP=corten$1.slice parent=$ENGINE_GROUP
		runtime=$ENGINE_RUNTIME work=$ENGINE_WORK group=$ENGINE_GROUP name=$(basename "$ENGINE_RUNTIME")
		prepare
		return
	fi
	if [ -n "${ENGINE_INSIDE-}" ]; then
		runtime=$ENGINE_RUNTIME work=$ENGINE_WORK group=$ENGINE_GROUP parent=/$ENGINE_GROUP name=$(basename "$ENGINE_RUNTIME")
		[ "$driver" != systemd ] || parent=$group
		inside
		prepare
		return
	fi
	local engine=$1 code=0
	shift
	ENGINE_RUNTIME=$(runtime_path "${RUNTIME:-corten}") && [ -x "$ENGINE_RUNTIME" ] || {
		echo "RUNTIME=${RUNTIME:-corten}: no such program (cargo build --release makes corten)" >&2
		exit 2
	}
	[ "$(id -u)" = 0 ] || { echo "$0: root is needed" >&2; exit 2; }
	ENGINE_GROUP=corten-$engine-$$ ENGINE_WORK=$(mktemp -d "/var/tmp/corten-$engine.XXXXXX") ENGINE_INSIDE=1
	export ENGINE_RUNTIME ENGINE_GROUP ENGINE_WORK ENGINE_INSIDE
	chmod 711 "$ENGINE_WORK"
	if [ "$driver" = systemd ]; then
		under_systemd "$engine" "$@"
		exit
	fi
	trap clean EXIT
	# unshare blocks SIGTERM while it waits.
	trap 'kill -KILL "$unshare" 2>/dev/null || true' TERM INT HUP
	setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --propagation private "$0" "$@" &
	unshare=$!
	wait "$unshare" || code=$?
	exit "$code"
}

# under_systemd ENGINE ARGUMENTS…: the same below a systemd of its own, which has the namespaces but that of the network.
under_systemd() {
	local view=${VIEW-}
	[ -n "$view" ] || ! grep -q ' cgroup ' /proc/self/mounts || view=hybrid
	trap 'rm -rf --one-file-system "$ENGINE_WORK"' EXIT
	trap 'kill -TERM "$systemd" 2>/dev/null || true' TERM INT HUP
	ENGINE_GROUP=corten$1.slice
	shift
	"$(dirname "$0")/../with-systemd" -g "${view:-v2}" unshare --mount --net --propagation private "$(realpath "$0")" "$@" &
	systemd=$!
	local code=0
	wait "$systemd" || code=$?
	exit "$code"
}

# Outside of the namespaces, when all processes are gone or going.
clean() {
	for _ in $(seq 100); do
		# A frozen process of version 1 cannot die.
		find /sys/fs/cgroup -path "*/$ENGINE_GROUP/*" -name freezer.state -exec sh -c 'for f; do echo THAWED >"$f"; done' sh {} + 2>/dev/null || true
		find /sys/fs/cgroup -depth -type d -path "*/$ENGINE_GROUP*" -exec rmdir {} + 2>/dev/null || true
		[ -n "$(find /sys/fs/cgroup -type d -path "*/$ENGINE_GROUP*" 2>/dev/null)" ] || break
		sleep 0.1
	done
	rm -rf --one-file-system "$ENGINE_WORK"
}

inside() {
	ip link set lo up
	if [ "$driver" != systemd ]; then
		mount -t proc proc /proc
		mount -t tmpfs -o mode=755 tmpfs /run
	fi
	mount -t tmpfs -o mode=755 tmpfs /var/lib
	mount -t tmpfs -o mode=755 tmpfs /opt
	# Podman's locks, which it makes anew where /run is empty, are not to be those of a Podman of the machine.
	mount -t tmpfs -o mode=1777 tmpfs /dev/shm
	[ "$driver" != systemd ] || return 0
	case ${VIEW-} in
	'')
		# crun does not work with controllers in the cgroup2 of a hybrid hierarchy.
		[ "$name" != crun ] || [ -z "$(cat /sys/fs/cgroup/unified/cgroup.controllers 2>/dev/null)" ] || view_v1
		;;
	v1 | v2) "view_$VIEW" ;;
	*)
		echo "VIEW=$VIEW: neither v1 nor v2" >&2
		exit 2
		;;
	esac
}

# What engines find: nothing of the caller's decides what they do.
prepare() {
	export PATH=$work/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
	umask 022
	unset "${!DOCKER_@}" "${!CONTAINER@}" "${!BUILDAH_@}" "${!XDG_@}" "${!LISTEN_@}" "${!STORAGE_@}" NOTIFY_SOCKET DBUS_SESSION_BUS_ADDRESS \
		REGISTRY_AUTH_FILE GOMAXPROCS GODEBUG
	mkdir -p "$work/bin" "$work/log" "$work/program" "$work/users-home"
	mkdir -m 1777 "$work/tmp"
	export HOME=$work/users-home TMPDIR=$work/tmp
	# Where the runtime is may be covered, or closed to an ordinary user.
	cp "$runtime" "$work/program/$name"
	runtime=$work/program/$name
	# Some engines run whatever `runc` their PATH has.
	ln -s "$runtime" "$work/bin/runc"
}

view_v1() {
	umount /sys/fs/cgroup/unified
	mount -t tmpfs tmpfs /sys/fs/cgroup/unified
}

view_v2() {
	umount -R /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# rootfs DIRECTORY: the machine's static busybox as a root file system.
rootfs() {
	local applet busybox
	busybox=$(command -v busybox)
	mkdir -p "$1"/{bin,etc,proc,sys,dev,tmp,run,root,mnt}
	cp "$busybox" "$1/bin/busybox"
	for applet in $("$busybox" --list); do
		[ -e "$1/bin/$applet" ] || ln -s busybox "$1/bin/$applet"
	done
	printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\nuser:x:1000:\nextra:x:1234:user\n' >"$1/etc/group"
	echo text >"$1/etc/not-a-program"
	chmod 1777 "$1/tmp"
}

# image_archive FILE [NAME:TAG COMMAND]: docker.io/library/busybox:test, or that one with that command, as `docker load`, `ctr image
# import` and `podman load` read it.
image_archive() {
	local d=$work/image layer
	mkdir -p "$d/layer"
	[ -d "$d/rootfs" ] || rootfs "$d/rootfs"
	tar -C "$d/rootfs" --owner 0 --group 0 -cf "$d/layer/layer.tar" .
	layer=$(sha256sum "$d/layer/layer.tar" | cut -d' ' -f1)
	cat >"$d/config.json" <<-E
		{"architecture": "$(dpkg --print-architecture)", "os": "linux", "created": "2020-01-01T00:00:00Z",
		 "config": {"Env": ["PATH=/bin"], "Cmd": ${3:-[\"sh\"]}}, "history": [{"created": "2020-01-01T00:00:00Z"}],
		 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]}}
	E
	echo '[{"Config": "config.json", "RepoTags": ["docker.io/library/'"${2:-busybox:test}"'"], "Layers": ["layer/layer.tar"]}]' >"$d/manifest.json"
	tar -C "$d" -cf "$1" manifest.json config.json layer/layer.tar
}

# daemon_start NAME COMMAND…; daemon_stop NAME
daemon_start() {
	local daemon=$1
	shift
	setsid "$@" >>"$work/log/$daemon" 2>&1 </dev/null &
	echo $! >"$work/$daemon.pid"
}

daemon_stop() {
	local pid
	pid=$(cat "$work/$1.pid" 2>/dev/null) || return 0
	rm "$work/$1.pid"
	kill -TERM "$pid" 2>/dev/null || return 0
	eventually gone "$pid"
}

gone() {
	! kill -0 "$1" 2>/dev/null || [ "$(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null)" = Z ]
}

# eventually COMMAND…: until it succeeds, or patience ends.
eventually() {
	local end=$((SECONDS + PATIENCE))
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			echo "not within $PATIENCE seconds: $*"
			"$@" || true
			return 1
		fi
		sleep 0.1
	done
}

# becomes EXPECTED COMMAND…: until it prints that.
becomes() {
	local expected=$1 found='' end=$((SECONDS + PATIENCE))
	shift
	while found=$("$@" 2>&1 </dev/null) || true; [ "$found" != "$expected" ]; do
		if [ $SECONDS -ge $end ]; then
			printf 'not within %d seconds: %s\n  expected: %q\n  found:    %q\n' "$PATIENCE" "$*" "$expected" "$found"
			return 1
		fi
		sleep 0.1
	done
}

# is EXPECTED FOUND
is() {
	[ "$1" = "$2" ] || { printf 'expected: %q\nfound:    %q\n' "$1" "$2"; return 1; }
}

# ended_with_their_numbers PID…: the first has ended with 1, the second with 2, and so on.
ended_with_their_numbers() {
	local number=0 pid code
	for pid; do
		number=$((number + 1)) code=0
		wait "$pid" || code=$?
		is $number $code
	done
}

# like PATTERN TEXT
like() {
	# shellcheck disable=SC2053
	[[ $2 == $1 ]] || { printf 'expected: %q\nfound:    %q\n' "$1" "$2"; return 1; }
}

# heard COMMAND…: what it prints, standard error included; its exit code. $input, if set, is its standard input. With MAY_LOSE, where
# nothing at all is heard the command runs again.
heard() {
	local output code tries=4
	[ -n "${MAY_LOSE-}" ] || tries=1
	while :; do
		code=0 tries=$((tries - 1))
		if [ -n "${input-}" ]; then
			output=$(printf '%s\n' "$input" | "$@" 2>&1) || code=$?
		else
			output=$("$@" 2>&1 </dev/null) || code=$?
		fi
		[ -z "$output" ] && [ $tries != 0 ] || break
		printf '%s\n' "$*" >>"$work/lost"
	done
	printf '%s' "$output"
	return $code
}

# says EXPECTED COMMAND…: what it prints, standard error included, and its exit code if that is not 0.
says() {
	local expected=$1 output code=0
	shift
	if [ -n "$expected" ]; then
		output=$(heard "$@") || code=$?
	else
		output=$("$@" 2>&1 </dev/null) || code=$?
	fi
	[ $code = 0 ] || output="$output [exit code $code]"
	[ "$output" = "$expected" ] || { printf '%s\n' "$*"; is "$expected" "$output"; }
}

# exits CODE COMMAND…
exits() {
	local expected=$1 output code=0
	shift
	output=$("$@" 2>&1 </dev/null) || code=$?
	[ $code = "$expected" ] || { printf '%s\nexit code %s, not %s\n%s\n' "$*" $code "$expected" "$output"; return 1; }
}

# fails PATTERN COMMAND…: not with 0, and it says that.
fails() {
	local pattern=$1 output
	shift
	if output=$(heard "$@"); then
		printf '%s\nshould fail, says:\n%s\n' "$*" "$output"
		return 1
	fi
	like "$pattern" "$output" || { printf '%s\n' "$*"; return 1; }
}

# readme_lines PATTERN: the lines that README.md has a user copy, those of the block with that in it, with this runtime's path.
readme_lines() {
	local lines
	lines=$(awk -v pattern="$1" '
		/^```/ { if (inside && index(block, pattern)) { printf "%s", block; exit } inside = !inside; block = ""; next }
		inside { block = block $0 "\n" }' "$(dirname "$0")/../../README.md" | sed "s|/usr/local/bin/corten|$runtime|g")
	[ -n "$lines" ] || { echo "README.md has no lines with $1" >&2; return 1; }
	printf '%s\n' "$lines"
}

# terminal COMMAND: it runs on a terminal whose input does not end (script(1) would hang up); $work/keys is that input.
terminal() {
	[ -p "$work/keys" ] || mkfifo "$work/keys"
	heard on_terminal "$1"
}
# The shell of the command is this one: another (dash, where SHELL is not set) would drop functions that are exported.
on_terminal() { SHELL=$BASH script -qec "$1" /dev/null 2>&1 <>"$work/keys" | tr -d '\r'; }

# limit V1 V2: a shell command for inside a container which prints a file of the cgroup, whichever version.
limit() {
	echo "cat /sys/fs/cgroup/$1 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/$2"
}

# skip WHY: ends a scenario that this machine cannot do.
skip() {
	echo "$*"
	exit 77
}

controllers() { [ -d /sys/fs/cgroup/memory ] || grep -q memory /sys/fs/cgroup/cgroup.controllers; }
needs_controllers() { controllers || skip 'the cgroups have no controllers here'; }
needs_controllers_of_version_2() { grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null || skip 'version 2 of the cgroups has no controllers here'; }

may_do() {
	local effective
	effective=0x$(sed -n 's/^CapEff:\t//p' /proc/self/status)
	[ $((effective >> $1 & 1)) = 1 ]
}

# scenarios ARGUMENTS…: runs those named, or all, and ends the script. `before` and `after` are of the script: around each scenario.
scenarios() {
	local chosen=("$@") scenario ok=0 skipped=0 code log=$work/log/scenario begin
	[ "$driver" != systemd ] || QUICK=("${QUICK_SYSTEMD[@]}")
	[ "${1-}" != quick ] || chosen=("${QUICK[@]}")
	[ ${#chosen[@]} != 0 ] || mapfile -t chosen < <(shopt -s extdebug; for f in $(compgen -A function scenario_); do declare -F "$f"; done | sort -n -k2 | sed 's/^scenario_\([^ ]*\).*/\1/' | of_this_driver)
	for scenario in "${chosen[@]}"; do
		declare -F "scenario_$scenario" >/dev/null || { echo "no such scenario: $scenario" >&2; exit 2; }
	done
	for scenario in "${chosen[@]}"; do
		code=0 begin=$SECONDS
		set +e # in a condition it would not count inside either
		run_bounded "$scenario" >"$log" 2>&1 </dev/null
		code=$?
		set -e
		case $code in
		0) ok=$((ok + 1)); printf 'ok %s (%ds)\n' "$scenario" $((SECONDS - begin)) ;;
		77) skipped=$((skipped + 1)); printf 'skipped %s: %s\n' "$scenario" "$(tail -n 1 "$log")" ;;
		*) failed "$scenario" ;;
		esac
		after >"$log" 2>&1 </dev/null || { printf 'after %s:\n' "$scenario"; sed 's/^/    /' "$log"; }
	done
	begin=$SECONDS
	set +e
	(set -e; nothing_left) >"$log" 2>&1
	code=$?
	set -e
	if [ $code = 0 ]; then
		ok=$((ok + 1))
		echo 'ok nothing_left'
	else
		failed nothing_left
	fi
	[ ! -s "$work/lost" ] || printf 'output lost by the engine, and asked for again: %d\n' "$(wc -l <"$work/lost")"
	# Once more: of a long log often only the end is kept.
	[ ! -s "$work/failures" ] || { echo; cat "$work/failures"; echo; }
	printf '%s with %s: %d ok, %d failed, %d skipped, %ds%s\n' "$(basename "$0" .sh)" "$name" $ok ${#failures[@]} $skipped $SECONDS \
		"${failures[*]:+; failed: ${failures[*]}}"
	exit $((${#failures[@]} != 0))
}

of_this_driver() { if [ "$driver" = systemd ]; then cat; else grep -v ^systemd_; fi; }

# failed NAME: of `scenarios`, whose variables it uses: what the scenario printed, and the last lines of the daemons, now and at the end.
failures=()
failed() {
	local daemon line
	failures+=("$1")
	line="FAILED $1 ($((SECONDS - begin))s)"
	{
		echo "$line"
		sed 's/^/    /' "$log" | tail -n 25
		for daemon in "$work"/*.pid; do
			[ -e "$daemon" ] || continue
			daemon=$(basename "$daemon" .pid)
			echo "    --- the end of the log of $daemon"
			tail -n 5 "$work/log/$daemon" | cut -c1-400 | sed 's/^/    /'
		done
	} | tee -a "$work/failures"
}

# The shell is not in a condition, where -e would not count.
run_bounded() {
	local code=0 watch
	(
		set -e
		before
		"scenario_$1"
	) &
	local pid=$!
	(
		sleep "$SCENARIO_LIMIT" &
		trap 'kill $!; exit' TERM
		wait $!
		echo "over after $SCENARIO_LIMIT seconds"
		kill -KILL $pid
	) &
	watch=$!
	wait $pid || code=$?
	kill -TERM $watch 2>/dev/null || true
	wait $watch 2>/dev/null || true
	return $code
}

# unit_is UNIT PROPERTY=VALUE…: as systemd shows it; of the manager that $manager (--user) names.
unit_is() {
	local unit=$1 pair
	shift
	for pair; do
		[ -e /sys/fs/cgroup/cgroup.controllers ] || pair=${pair/#MemoryMax=/MemoryLimit=}
		is "$pair" "${pair%%=*}=$(${as-} systemctl ${manager-} show -P "${pair%%=*}" "$unit")" || { echo "of $unit"; return 1; }
	done
}

# no_units_left PATTERN: none that systemd has loaded; of the same manager.
no_units_left() { is '' "$(${as-} systemctl ${manager-} list-units --all --plain --no-legend "$1")"; }

no_cgroups_left() {
	local left
	# BuildKit keeps the parent of its containers.
	left=$(find /sys/fs/cgroup -mindepth 2 -type d -path "*/$group/*" ! -path '*/buildkit' 2>/dev/null)
	is '' "$left"
}
