# What a developer of this project types. Every recipe is plain cargo or shell: read it here, or run it with just(1).

# the recipes
default:
    @just --list --unsorted

# the release program, target/release/corten
build:
    cargo build --release

# a first container: builds corten and runs one from the machine's busybox
hello:
    examples/hello.sh

# unit and doc tests, and the black-box tests (root), which want the program to be there
test *ARGS:
    cargo build --workspace
    cargo test --workspace {{ARGS}}

# the black-box tests against a runtime: corten, runc or crun (root)
integration RUNTIME="corten" *ARGS:
    cargo build --workspace
    RUNTIME={{RUNTIME}} cargo test --package corten-integration {{ARGS}}

# black-box test files in a virtual machine with cgroup v2 (`-s`: with systemd), see integration/vm (root)
vm *ARGS:
    integration/vm/run {{ARGS}}

# a command, the systemd tests if there is none, under a systemd of its own on this kernel: VIEW is v2, hybrid or v1 (root; systemd, dbus)
systemd VIEW="v2" *COMMAND="cargo test --package corten-integration --test systemd --test stress":
    integration/with-systemd -g {{VIEW}} {{COMMAND}}

# engines of Debian 13 with the systemd cgroup driver, in the virtual machine: all, or cri, docker, podman and scenarios (root)
vm-engines *ARGS:
    integration/vm/engines {{ARGS}}

# takes the defences of docs/SECURITY.md out, one by one, and demands that their tests fail (root)
weakened *NAMES:
    integration/weakened/run {{NAMES}}
# an engine's containers on a runtime: containerd, cri, docker or podman (root; integration/clients/README.md names the packages)
engine NAME RUNTIME="corten" *SCENARIOS: build
    RUNTIME={{RUNTIME}} integration/clients/{{NAME}}.sh {{SCENARIOS}}

# how long engines take with corten, runc and crun (root)
engine-speed COUNT="50": build
    integration/clients/speed.sh {{COUNT}}

# clippy with warnings as errors
lint:
    cargo clippy --workspace --all-targets -- -D warnings
    tools/lint-init.sh

# formats the code
fmt:
    cargo fmt --all
    cargo fmt --manifest-path fuzz/Cargo.toml

# what must hold before a commit
check: lint
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo build --workspace
    cargo test --workspace

# all that must hold on a new machine, tests on runc included; installs packages (root)
ci:
    .ci/run

# the API documentation of the library, target/doc/libcorten
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --package libcorten

# the manual pages, below target/man/man8
man:
    #!/bin/sh
    set -eu
    cargo build --release
    mkdir -p target/man/man8
    target/release/corten man > target/man/man8/corten.8
    for verb in $(target/release/corten man | sed -n 's/^\\fBcorten\\-\(.*\)\\fR(8)$/\1/p'); do
        target/release/corten man "$verb" > "target/man/man8/corten-$verb.8"
    done
    ls target/man/man8

# corten against the floor, runc and crun, in ratios (root)
bench *ARGS:
    cargo run --release --package corten-benches --bin bench -- {{ARGS}}

# list, state and ps beside COUNT waiting containers, corten and runc (root; each runc container takes some MB)
many COUNT="1000": build
    cargo run --release --package corten-benches --bin many -- {{COUNT}}

# the seccomp compiler against libseccomp, and what a profile adds to a run (root, libseccomp-dev)
bench-seccomp *ARGS:
    cargo run --release --package corten-benches --features libseccomp --bin seccomp -- {{ARGS}}

# compares the seccomp tables with a regeneration from Debian's headers, which it fetches
seccomp-tables:
    SECCOMP_UAPI=$(tools/seccomp-uapi.sh target/seccomp-uapi) cargo test --package libcorten --lib seccomp::tables

# fuzz targets, all or those named, for some minutes each (nightly toolchain and cargo-fuzz)
fuzz MINUTES="1" *TARGETS:
    #!/bin/sh
    set -eu
    targets="{{TARGETS}}"
    for target in ${targets:-$(cargo +nightly fuzz list)}; do
        cargo +nightly fuzz run "$target" -- -max_total_time=$(({{MINUTES}} * 60)) -timeout=20
    done

# runs /bin/true in COUNT containers one after the other; a hang ends it after ten seconds (root, busybox-static)
loop COUNT="1000": build
    #!/bin/sh
    set -eu
    corten=$PWD/target/release/corten
    bundle=$(mktemp -d)
    trap 'rm -rf "$bundle"' EXIT
    mkdir -p "$bundle/rootfs/bin" "$bundle/rootfs/proc" "$bundle/rootfs/dev" "$bundle/rootfs/sys"
    cp /bin/busybox "$bundle/rootfs/bin/true"
    cp benches/bundle/config.json "$bundle"
    for n in $(seq {{COUNT}}); do
        timeout 10 "$corten" --root "$bundle/state" run --bundle "$bundle" "loop-$$-$n" || { echo "run $n: exit code $?"; exit 1; }
    done
    echo "{{COUNT}} runs"

# pure code under miri: the plan, the seccomp compiler, what the launcher and the init say to each other, some of the reading of config.json (nightly, miri, rust-src; a quarter of an hour)
miri *ARGS:
    MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --package libcorten --lib -- \
        id:: error::tests plan:: seccomp:: launch::orders launch::report launch::undo launch::wire_tests observe:: cgroup::device \
        store::record::tests::times spec::mount_options spec::process spec::sysctl spec::properties \
        spec::tests::every spec::tests::reading::broken spec::tests::reading::no_ spec::tests::reading::null {{ARGS}}

# the library under AddressSanitizer (`address`) or, in programs with many threads, ThreadSanitizer (`thread`) (nightly, rust-src; root)
sanitize KIND *ARGS:
    tools/sanitize.sh {{KIND}} {{ARGS}}

# random configurations given to corten and to runc: both accept or both refuse, and the inside is the same; SEED=n replays (root)
differential CASES="2000":
    cargo build --workspace
    CASES={{CASES}} cargo test --package corten-integration --test differential -- --nocapture
# every system call of corten and its init fails in each likely way, and both are killed at each (root; about an hour). `--every N`: a sample
faults *ARGS:
    cargo build --release --package corten --package corten-faults
    target/release/faults {{ARGS}}

# licences, bans, sources of the dependencies, and advisories where their database can be fetched (cargo install cargo-deny)
deny *CHECKS="licenses bans sources":
    cargo deny check {{CHECKS}}

# what the release program is made of, as CycloneDX JSON
sbom:
    @tools/sbom.py

# builds the release program in two folders and compares it byte by byte
reproducible:
    tools/reproducible.sh

# corten beside runc and crun for a long time: runs, 32 at once, a random mix of commands; says what is wrong or left (root)
soak MINUTES="0" *ARGS:
    cargo build --release --package corten --package corten-benches
    target/release/soak --minutes {{MINUTES}} {{ARGS}}

# the library's calls from 16 threads and from tokio, CALLS each, in the random order of SEED (root)
library-mix CALLS="1000" SEED="1":
    MIX={{CALLS}} SEED={{SEED}} cargo test --release --package libcorten --test mix -- --nocapture
