//! What surrounds corten may be hostile: state directories that somebody has tampered with, sockets and files that never answer,
//! configurations made to exhaust. Everything ends soon (the harness kills what takes too long), with a clear line, and leaves nothing.

use corten_integration::{Container, Invocation, Output, Runtime, Sandbox, eventually, once, skip};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

macro_rules! corten_only {
    () => {
        if Runtime::from_environment() != Runtime::Corten {
            skip!("about corten's own files, or what the other runtimes wait for without end");
        }
    };
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// One line that says what is wrong, and no panic.
fn clear(output: &Output, part: &str) {
    let stderr = output.stderr();
    assert_eq!(output.code(), 1, "{part}: {output}");
    assert!(stderr.contains(part) && !stderr.contains("panicked"), "{part:?} in {output}");
    assert_eq!(stderr.lines().filter(|line| line.contains("level=error")).count(), 1, "{output}");
}

/// How a file of a container's state directory is spoilt.
enum Spoilt {
    Text(&'static str),
    Cut,
    Huge,
    Newer,
    Link,
    Fifo,
    Directory,
    Zeros,
}

fn spoil(path: &Path, how: &Spoilt) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::remove_file(path).unwrap();
    match how {
        Spoilt::Text(text) => std::fs::write(path, text).unwrap(),
        Spoilt::Cut => std::fs::write(path, &text[..text.len() / 2]).unwrap(),
        // Sparse: 8 GiB that take no room on the disk.
        Spoilt::Huge => std::fs::File::create(path).unwrap().set_len(8 << 30).unwrap(),
        Spoilt::Newer => {
            let mut record: Value = serde_json::from_str(&text).unwrap();
            record["format"] = json!(1000);
            record.as_object_mut().unwrap().remove("cgroup");
            std::fs::write(path, record.to_string()).unwrap();
        }
        Spoilt::Link => symlink("/etc/passwd", path).unwrap(),
        Spoilt::Fifo => fifo(path),
        Spoilt::Directory => std::fs::create_dir(path).unwrap(),
        Spoilt::Zeros => assert!(Command::new("mknod").arg(path).args(["c", "1", "5"]).status().unwrap().success()),
    }
}

/// Removes what was put in a file's place, and puts the file back.
fn restore(path: &Path, original: &[u8]) {
    let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir(path));
    std::fs::write(path, original).unwrap();
}

#[test]
fn spoilt_records_are_named_and_disturb_no_other_container() {
    corten_only!();
    once(|t| {
        let good = t.container(t.bundle().args(&["sleep", "1000"]));
        let spoilt = t.container(t.bundle().args(&["sleep", "1000"]));
        good.create();
        spoilt.create();
        for file in ["record.json", "init.json"] {
            let path = t.state_root().join(spoilt.id()).join(file);
            let original = std::fs::read(&path).unwrap();
            for how in [
                Spoilt::Text(""),
                Spoilt::Text("null"),
                Spoilt::Text("[]"),
                Spoilt::Text("{}"),
                Spoilt::Text("{\"format\": -1}"),
                Spoilt::Cut,
                Spoilt::Huge,
                Spoilt::Link,
                Spoilt::Fifo,
                Spoilt::Directory,
                Spoilt::Zeros,
            ] {
                spoil(&path, &how);
                for verb in ["state", "start", "kill", "delete"] {
                    clear(&spoilt.command(verb).run(), path.to_str().unwrap());
                }
                let list = t.command("list", &["-q"]).ok();
                assert_eq!(list.stdout().trim(), good.id(), "{list}");
                assert!(list.stderr().contains(spoilt.id()), "{list}");
                restore(&path, &original);
            }
            assert_eq!(spoilt.status(), "created", "{file} was put back");
        }
        assert_eq!(good.status(), "created");
    });
}

#[test]
fn a_record_of_a_newer_version_is_not_guessed_at() {
    corten_only!();
    once(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.create();
        let path = t.state_root().join(container.id()).join("record.json");
        let original = std::fs::read(&path).unwrap();
        spoil(&path, &Spoilt::Newer);
        for verb in ["state", "start", "kill", "delete"] {
            clear(&container.command(verb).run(), "has layout 1000 of a newer version");
        }
        restore(&path, &original);
        container.start();
    });
}

#[test]
fn a_file_in_place_of_the_start_fifo_starts_nothing() {
    corten_only!();
    once(|t| {
        for how in [Spoilt::Text("x"), Spoilt::Directory, Spoilt::Zeros] {
            let container = t.container(t.bundle().args(&["sleep", "1000"]));
            container.create();
            let path = t.state_root().join(container.id()).join("start.fifo");
            std::fs::rename(&path, path.with_extension("aside")).unwrap();
            std::fs::write(&path, "").unwrap();
            spoil(&path, &how);
            clear(&container.command("start").run(), "start.fifo");
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
            std::fs::rename(path.with_extension("aside"), &path).unwrap();
            container.start();
            assert_eq!(container.status(), "running");
        }
    });
}

/// A pid alone is not the container: a record that names somebody else's process must not get it killed.
#[test]
fn a_pid_of_somebody_else_is_not_killed() {
    corten_only!();
    once(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.create();
        let path = t.state_root().join(container.id()).join("init.json");
        let original = std::fs::read(&path).unwrap();
        // What tells them apart is when they were started, which the kernel says in hundredths of a second.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let mut victim = Command::new("sleep").arg("1000").spawn().unwrap();
        for pid in [i64::from(victim.id()), 1, 0, -1, i64::from(i32::MAX)] {
            let mut init: Value = serde_json::from_slice(&original).unwrap();
            init["pid"] = json!(pid);
            std::fs::write(&path, init.to_string()).unwrap();
            clear(&container.command("kill").run(), "container not running");
        }
        assert!(victim.try_wait().unwrap().is_none(), "the victim was killed");
        victim.kill().unwrap();
        victim.wait().unwrap();
        std::fs::write(&path, &original).unwrap();
        container.kill("KILL");
        container.wait_for("stopped");
    });
}

#[test]
fn odd_entries_of_the_state_directory_are_no_containers() {
    corten_only!();
    once(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.create();
        let root = t.state_root();
        symlink(container.id(), root.join("link")).unwrap();
        symlink("/nonexistent", root.join("dangling")).unwrap();
        fifo(&root.join("fifo"));
        std::fs::write(root.join("file"), "").unwrap();
        let list = t.command("list", &["-q"]).ok().stdout();
        assert_eq!(list.trim(), container.id());
        for name in ["link", "dangling", "fifo", "file"] {
            clear(&t.command("state", &[name]).run(), "does not exist");
            let output = t.command("create", &[name]).option("--bundle").option(container.bundle().path()).run();
            assert_eq!(output.code(), 1, "{output}");
            std::fs::symlink_metadata(root.join(name)).unwrap();
            std::fs::remove_file(root.join(name)).unwrap();
        }
        assert_eq!(container.status(), "created");
    });
}

#[test]
fn what_is_in_place_of_the_configuration() {
    corten_only!();
    once(|t| {
        let container = t.container(t.bundle().args(&["true"]));
        let path = container.bundle().path().join("config.json");
        let original = std::fs::read(&path).unwrap();
        for (part, how) in [
            ("is not a regular file", Spoilt::Fifo),
            ("is not a regular file", Spoilt::Directory),
            ("is not a regular file", Spoilt::Zeros),
            ("is larger than 16 MiB", Spoilt::Huge),
        ] {
            spoil(&path, &how);
            for verb in ["create", "run"] {
                clear(&container.command(verb).run(), part);
            }
            restore(&path, &original);
        }
        std::fs::remove_file(&path).unwrap();
        let _socket = UnixListener::bind(&path).unwrap();
        clear(&container.command("run").run(), "config.json");
        std::fs::remove_file(&path).unwrap();
        // 100 MB of blanks before the end of a good one.
        let mut large = vec![b' '; 100 << 20];
        large.extend(&original);
        std::fs::write(&path, large).unwrap();
        clear(&container.command("run").run(), "is larger than 16 MiB");
        t.assert_nothing_left();
    });
}

#[test]
fn deep_json() {
    corten_only!();
    once(|t| {
        let container = t.container(t.bundle().args(&["true"]));
        let path = container.bundle().path().join("config.json");
        // Recursion is what the parser limits; an unknown member is skipped without any.
        let (limited, skipped) = ("config.json: recursion limit exceeded", "ociVersion: is missing");
        for (begin, end, part) in [("[", "]", limited), ("{\"a\":", "}", skipped)] {
            let deep = format!("{}1{}", begin.repeat(500_000), end.repeat(500_000));
            for (text, part) in [
                (deep.clone(), part),
                (format!("{{\"ociVersion\": \"1.0.0\", \"mounts\": {deep}}}"), limited),
                (format!("{{\"unknown\": {deep}}}"), skipped),
            ] {
                std::fs::write(&path, text).unwrap();
                clear(&container.command("run").run(), part);
            }
        }
        t.assert_nothing_left();
    });
}

#[test]
fn many_mounts() {
    corten_only!();
    once(|t| {
        let bundle = (0..1000).fold(t.bundle().args(&["sh", "-c", "grep -c /tmp /proc/self/mounts"]), |bundle, _| {
            bundle.mount("/tmp", "tmpfs", "tmpfs", &[])
        });
        assert_eq!(t.output_of(bundle), "1000\n");
        // A million need more than a configuration may have.
        let container = t.container(t.bundle().args(&["true"]));
        let mount = json!({"destination": "/tmp", "type": "tmpfs"}).to_string();
        let mounts = vec![mount.as_str(); 1_000_000].join(",");
        let text = container.bundle().config.to_string().replace("\"mounts\":[", &format!("\"mounts\":[{mounts},"));
        assert!(text.len() > 16 << 20);
        std::fs::write(container.bundle().path().join("config.json"), text).unwrap();
        clear(&container.command("run").run(), "is larger than 16 MiB");
        t.assert_nothing_left();
    });
}

#[test]
fn ids_and_strings_at_their_limits() {
    corten_only!();
    once(|t| {
        let bundle = t.bundle().args(&["true"]);
        bundle.write();
        let run = |id: &str| t.command("run", &[id]).option("--bundle").option(bundle.path()).run();
        assert_eq!(run(&"x".repeat(255)).code(), 0);
        clear(&run(&"x".repeat(256)), "File name too long");
        clear(&run(&"x".repeat(1025)), "invalid container ID format");
        let long = "x".repeat(200_000);
        let path = format!("/{}", "long/".repeat(2000));
        let name = format!("/{}", "n".repeat(256));
        for (pointer, value, place) in [
            ("/process/args", json!(["true", long]), "process.args"),
            ("/process/args/0", json!(path), "process.args[0]"),
            ("/process/env/0", json!(format!("A={long}")), "process"),
            ("/process/cwd", json!(path), "process.cwd"),
            ("/process/cwd", json!(name), "process.cwd"),
            ("/root/path", json!(path), "root.path"),
            ("/root/path", json!(name), "root.path"),
            ("/hostname", json!(long), "hostname"),
            ("/mounts/6/destination", json!(path), "mounts[6]"),
            ("/mounts/6/destination", json!(name), "mounts[6]"),
            ("/mounts/3/options", json!([long]), "mounts[3]"),
            ("/linux/cgroupsPath", json!(path), "linux.cgroupsPath"),
            ("/linux/maskedPaths", json!([path]), "linux.maskedPaths[0]"),
            ("/linux/readonlyPaths", json!([name]), "linux.readonlyPaths[0]"),
        ] {
            let container = t.container(t.bundle().args(&["true"]).set(pointer, value));
            clear(&container.command("run").run(), place);
            t.assert_nothing_left();
        }
    });
}

#[test]
fn nul_bytes_are_refused_everywhere() {
    corten_only!();
    once(|t| {
        for (pointer, place) in [
            ("/process/args/0", "process.args[0]"),
            ("/process/env/0", "process.env[0]"),
            ("/process/cwd", "process.cwd"),
            ("/root/path", "root.path"),
            ("/hostname", "hostname"),
            ("/mounts/0/destination", "mounts[0].destination"),
            ("/mounts/0/source", "mounts[0].source"),
            ("/mounts/0/type", "mounts[0]"),
            ("/mounts/1/options/0", "mounts[1].options[0]"),
            ("/linux/cgroupsPath", "linux.cgroupsPath"),
            ("/linux/maskedPaths/0", "linux.maskedPaths[0]"),
            ("/linux/readonlyPaths/0", "linux.readonlyPaths[0]"),
        ] {
            let container = t.container(t.bundle().args(&["true"]).set(pointer, "/a\0b"));
            clear(&container.command("run").run(), place);
            t.assert_nothing_left();
        }
    });
}

fn with_terminal<'t>(t: &'t Sandbox) -> Container<'t> {
    t.container(t.bundle().args(&["true"]).set("/process/terminal", true))
}

fn with_console<'t>(container: &Container<'t>, socket: &Path) -> Invocation<'t> {
    container.command("create").option("--console-socket").option(socket)
}

#[test]
fn console_sockets_that_do_not_do_their_part() {
    corten_only!();
    once(|t| {
        let container = with_terminal(t);
        let attempt = |path: &Path, part: &str| {
            clear(&with_console(&container, path).run(), part);
            t.assert_nothing_left();
        };
        attempt(&t.new_path("missing"), "connect to console socket");
        attempt(&t.new_file("text"), "connect to console socket");
        attempt(&PathBuf::from(format!("/tmp/{}", "x".repeat(300))), "connect to console socket");
        let datagram = t.new_path("datagram");
        let _datagram = UnixDatagram::bind(&datagram).unwrap();
        attempt(&datagram, "connect to console socket");
        // A listener that accepts nobody: the queue is filled until one more would have to wait.
        let full = t.new_path("full");
        let listener =
            rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &rustix::net::SocketAddrUnix::new(&full).unwrap()).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _first = UnixStream::connect(&full).unwrap();
        attempt(&full, "its listener accepts nobody");
    });
}

/// Whoever closes the connection at once gets no terminal; that is an error of create or not, but never a hang or a leftover.
#[test]
fn a_console_socket_that_closes_at_once() {
    corten_only!();
    once(|t| {
        for _ in 0..10 {
            let container = with_terminal(t);
            let path = t.new_path("closing");
            let listener = UnixListener::bind(&path).unwrap();
            let closing = std::thread::spawn(move || drop(listener.accept()));
            let output = with_console(&container, &path).run();
            closing.join().unwrap();
            assert!([0, 1].contains(&output.code()), "{output}");
            if output.code() == 1 {
                assert!(output.stderr().contains("terminal") || output.stderr().contains("console"), "{output}");
            } else {
                container.command("delete").option("--force").ok();
            }
            t.assert_nothing_left();
        }
    });
}

/// A listener that takes the connection and then reads nothing, or writes whatever the other end has room for.
#[test]
fn console_sockets_that_are_silent_or_flood() {
    corten_only!();
    once(|t| {
        for floods in [false, true] {
            let container = with_terminal(t);
            let path = t.new_path("slow");
            let listener = UnixListener::bind(&path).unwrap();
            let slow = std::thread::spawn(move || {
                let (mut peer, _) = listener.accept().unwrap();
                peer.set_nonblocking(true).unwrap();
                while floods && std::io::Write::write(&mut peer, &[b'x'; 4096]).is_ok() {}
                peer
            });
            assert_eq!(with_console(&container, &path).run().code(), 0);
            let peer = slow.join().unwrap();
            container.start();
            container.wait_for("stopped");
            drop(peer);
            container.delete();
            t.assert_nothing_left();
        }
    });
}

/// Hooks are the host's; a bad one must still not leave a container that nobody can get rid of.
#[test]
fn hooks_that_turn_against_their_container() {
    corten_only!();
    once(|t| {
        let pid = "pid=$(tr -d ' \n' | sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); ";
        let root = t.state_root();
        for (script, part) in [
            (format!("{pid} kill -KILL $pid"), "killed by signal 9"),
            (format!("{pid} kill -STOP $pid; (sleep 1; kill -CONT $pid) & exit 1"), "exit status 1"),
            (format!("rm -rf {}/*", root.display()), "No such file or directory"),
            ("kill -KILL $$".to_owned(), "killed by signal 9"),
            ("exec >&- 2>&- <&-; exit 3".to_owned(), "exit status 3"),
        ] {
            for kind in ["prestart", "createRuntime"] {
                let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]);
                let container = t.container(t.bundle().args(&["true"]).set(&format!("/hooks/{kind}"), hook));
                clear(&container.command("create").run(), part);
                t.assert_nothing_left();
            }
        }
    });
}

/// `HOME` is looked up in the image's file, by root.
#[test]
fn a_passwd_that_does_not_end_or_is_not_a_file() {
    corten_only!();
    once(|t| {
        let home = |change: &dyn Fn(&Path)| {
            let bundle = t.bundle().args(&["sh", "-c", "echo $HOME"]);
            let passwd = bundle.rootfs("/etc/passwd");
            let text = std::fs::read(&passwd).unwrap();
            std::fs::remove_file(&passwd).unwrap();
            std::fs::write(&passwd, text).unwrap();
            change(&passwd);
            let run = t.output_of(bundle.clone());
            let container = t.container(bundle.args(&["sleep", "1000"]));
            container.run_detached();
            let exec = container.command("exec").operand("sh").operand("-c").operand("echo $HOME").ok().stdout();
            container.command("delete").option("--force").ok();
            (run, exec)
        };
        let expected = |home: &str| (format!("{home}\n"), format!("{home}\n"));
        assert_eq!(home(&|_| ()), expected("/root"));
        // Terabytes of nothing: by the first byte of the file, or only behind the entry that is looked for.
        let longer = |path: &Path| std::fs::File::options().write(true).open(path).unwrap().set_len(8 << 40).unwrap();
        assert_eq!(home(&longer), expected("/root"));
        let endless = |path: &Path| {
            std::fs::write(path, "").unwrap();
            longer(path);
        };
        assert_eq!(home(&endless), expected("/"));
        for target in ["/proc/kmsg", "/proc/self/environ", "/dev/zero", "/etc", "/proc/1/mem"] {
            let link = |path: &Path| {
                std::fs::remove_file(path).unwrap();
                symlink(target, path).unwrap();
            };
            assert_eq!(home(&link), expected("/"), "{target}");
        }
        let pipe = |path: &Path| {
            std::fs::remove_file(path).unwrap();
            fifo(path);
        };
        assert_eq!(home(&pipe), expected("/"));
    });
}

#[test]
fn logs_and_pid_files_that_cannot_be_written() {
    corten_only!();
    once(|t| {
        let pipe = t.new_path("fifo");
        fifo(&pipe);
        clear(&t.command("list", &[]).global("--log").global(&pipe).run(), "open log");
        // A reader that reads nothing, of a pipe that is full.
        let reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).unwrap();
        while std::io::Write::write(&mut &reader, &[b'x'; 4096]).is_ok() {}
        let output = t.command("state", &["nobody"]).global("--log").global(&pipe).fails(1);
        assert!(output.stderr().contains("does not exist"), "{output}");
        let output = t.command("state", &["nobody"]).global("--log").global("/dev/full").fails(1);
        assert!(output.stderr().contains("does not exist"), "{output}");
        for path in [pipe.as_path(), Path::new("/dev/full"), Path::new("/dev"), &t.new_path("missing/pid")] {
            let container = t.container(t.bundle().args(&["sleep", "1000"]));
            for verb in ["create", "run"] {
                clear(&container.command(verb).option("--pid-file").option(path).run(), "write pid file");
            }
            t.assert_nothing_left();
        }
        std::fs::metadata("/dev/full").map(|meta| assert!(!meta.is_file())).unwrap();
    });
}

/// The state directory's disk is full, or cannot be written to: nothing is left, and the next create works.
#[test]
fn a_full_or_read_only_state_directory() {
    corten_only!();
    once(|t| {
        let place = t.new_directory();
        let shown = place.display();
        t.host_shell(&format!("mount -t tmpfs -o size=4k,nr_inodes=3 tmpfs '{shown}'"));
        let container = t.container(t.bundle().args(&["true"]));
        let create = || container.command("create").global("--root").global(&place);
        let output = create().fails(1);
        assert!(output.stderr().contains(place.to_str().unwrap()), "{output}");
        t.host_shell(&format!("test -z \"$(ls -A '{shown}')\"; mount -o remount,ro '{shown}'"));
        clear(&create().run(), "Read-only file system");
        t.host_shell(&format!("umount '{shown}'"));
        t.assert_nothing_left();
        eventually("the id can be used", || create().run().code() == 0);
        container.command("delete").global("--root").global(&place).option("--force").ok();
    });
}
