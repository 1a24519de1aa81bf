//! The program: arguments, environment, directory, ids, capabilities, limits.

use corten_integration::{eventually, on_every_view, once};
use serde_json::json;

/// The line of /proc/self/status that begins with `name`, without name and blanks.
fn status_line(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

#[test]
fn args_are_passed_as_they_are() {
    once(|t| {
        let odd = ["printf", "[%s]", "a b", "", "$HOME", "\"'\\", "ünï", "-x", "new\nline"];
        assert_eq!(t.output_of(t.bundle().args(&odd)), "[a b][][$HOME][\"'\\][ünï][-x][new\nline]");
    });
}

#[test]
fn programs_are_found_through_the_path_of_the_container() {
    once(|t| {
        let bundle = t.bundle().file("/opt/tools/hello", "#!/bin/sh\necho found by $0\n", 0o755).args(&["hello"]);
        let with_path = bundle.clone().set("/process/env/0", "PATH=/nowhere:/opt/tools:/bin");
        assert_eq!(t.output_of(with_path), "found by /opt/tools/hello\n");
        t.container(bundle).command("run").fails(1);
    });
}

#[test]
fn a_program_without_a_leading_slash_is_relative_to_cwd() {
    once(|t| {
        let bundle = t.bundle().file("/opt/tools/hello", "#!/bin/sh\necho hi\n", 0o755).set("/process/cwd", "/opt");
        assert_eq!(t.output_of(bundle.clone().args(&["tools/hello"])), "hi\n");
        assert_eq!(t.output_of(bundle.args(&["./tools/hello"])), "hi\n");
    });
}

#[test]
fn an_executable_behind_a_file_that_is_not_is_found() {
    once(|t| {
        let bundle = t.bundle().file("/first/tool", "not executable", 0o644).file(
            "/second/tool",
            "#!/bin/sh\necho second\n",
            0o755,
        );
        assert_eq!(t.output_of(bundle.set("/process/env/0", "PATH=/first:/second:/bin").args(&["tool"])), "second\n");
    });
}

#[test]
fn cwd_is_created_when_missing() {
    once(|t| {
        let bundle = t.bundle().args(&["pwd"]).set("/process/cwd", "/made/for/me");
        assert_eq!(t.output_of(bundle.clone().writable()), "/made/for/me\n");
        let metadata = std::fs::metadata(bundle.rootfs("/made/for/me")).unwrap();
        assert!(metadata.is_dir());
    });
}

#[test]
fn env_keeps_its_order_and_its_duplicates() {
    once(|t| {
        let bundle = t.bundle().set("/process/env", json!(["PATH=/bin", "Z=1", "A=2", "M==", "EMPTY="])).args(&["env"]);
        let output = t.output_of(bundle);
        let lines: Vec<&str> = output.lines().filter(|line| !line.starts_with("HOME=")).collect();
        assert_eq!(lines, ["PATH=/bin", "Z=1", "A=2", "M==", "EMPTY="]);
    });
}

#[test]
fn home_comes_from_the_containers_passwd_unless_given() {
    once(|t| {
        let bundle = t.bundle().sh("echo $HOME");
        assert_eq!(t.output_of(bundle.clone()), "/root\n");
        assert_eq!(t.output_of(bundle.clone().set("/process/user/uid", 1000)), "/home/user\n");
        assert_eq!(t.output_of(bundle.clone().set("/process/user/uid", 4321)), "/\n");
        assert_eq!(t.output_of(bundle.env("HOME=/elsewhere")), "/elsewhere\n");
    });
}

#[test]
fn user_group_and_additional_groups() {
    on_every_view(|t| {
        let user = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 70000]});
        let status = t.output_of(t.bundle().set("/process/user", user).args(&["cat", "/proc/self/status"]));
        assert_eq!(status_line(&status, "Uid"), "1000\t1000\t1000\t1000");
        assert_eq!(status_line(&status, "Gid"), "1001\t1001\t1001\t1001");
        let groups = status_line(&status, "Groups");
        let mut groups: Vec<u32> = groups.split_whitespace().map(|gid| gid.parse().unwrap()).collect();
        groups.retain(|gid| *gid != 1001);
        assert_eq!(groups, [5, 70000]);
    });
}

#[test]
fn umask() {
    once(|t| {
        assert_eq!(t.output_of(t.bundle().args(&["sh", "-c", "umask"])), "0022\n", "the default");
        assert_eq!(t.output_of(t.bundle().sh("umask").set("/process/user/umask", 0o77)), "0077\n");
        assert_eq!(t.output_of(t.bundle().sh("umask").set("/process/user/umask", 0)), "0000\n");
    });
}

#[test]
fn no_new_privileges() {
    once(|t| {
        for (value, line) in [(true, "1"), (false, "0")] {
            let bundle = t.bundle().set("/process/noNewPrivileges", value).args(&["cat", "/proc/self/status"]);
            assert_eq!(status_line(&t.output_of(bundle), "NoNewPrivs"), line);
        }
    });
}

#[test]
fn oom_score_adj() {
    once(|t| {
        let bundle = t.bundle().set("/process/oomScoreAdj", 500).args(&["cat", "/proc/self/oom_score_adj"]);
        assert_eq!(t.output_of(bundle), "500\n");
    });
}

#[test]
fn the_program_starts_with_clean_signals() {
    once(|t| {
        let status = t.output_of(t.bundle().args(&["cat", "/proc/self/status"]));
        assert_eq!(status_line(&status, "SigBlk"), "0000000000000000");
        let ignored = |status: &str| u64::from_str_radix(&status_line(status, "SigIgn"), 16).unwrap();
        // What the caller ignores is inherited.
        let own = ignored(&std::fs::read_to_string("/proc/self/status").unwrap());
        assert_eq!(ignored(&status) & !own, 0, "{status}");
    });
}

#[test]
fn the_program_sees_no_descriptor_of_the_runtime_or_its_caller() {
    on_every_view(|t| {
        // `ls` itself opens the directory as 3.
        let bundle = t.bundle().sh("ls /proc/self/fd; ls -l /proc/1/fd");
        let leak = t.new_file("secret");
        let container = t.container(bundle);
        let output = container.command("run").descriptor(5, &leak).descriptor(9, &leak).ok();
        let stdout = output.stdout();
        let numbers: Vec<&str> =
            stdout.lines().take_while(|line| !line.contains("->") && !line.starts_with("total")).collect();
        assert_eq!(numbers, ["0", "1", "2", "3"], "{output}");
        let of_init = stdout.lines().filter(|line| line.contains("->")).count();
        assert_eq!(of_init, 3, "{output}");
    });
}

#[test]
fn preserve_fds_passes_on_exactly_these() {
    once(|t| {
        let (third, fourth, fifth) = (t.new_file("third"), t.new_file("fourth"), t.new_file("fifth"));
        let container = t.container(t.bundle().sh("cat <&3; cat <&4; ls /proc/1/fd; true"));
        let run = container.command("run").option("--preserve-fds").option("2");
        let output = run.descriptor(3, third).descriptor(4, fourth).descriptor(5, fifth).ok();
        assert_eq!(output.stdout(), "thirdfourth0\n1\n2\n3\n4\n", "{output}");
    });
}

#[test]
fn listen_fds_of_the_environment_are_passed_on() {
    once(|t| {
        let container = t.container(t.bundle().sh("cat <&3; echo $LISTEN_FDS $LISTEN_PID"));
        let output = container.command("run").variable("LISTEN_FDS", "1").descriptor(3, t.new_file("activated ")).ok();
        assert_eq!(output.stdout(), "activated 1 1\n", "{output}");
        // Whoever calls `start` has no descriptors for it: those of `create` count.
        let container = t.container(t.bundle().sh("cat <&3; echo $LISTEN_FDS $LISTEN_PID"));
        let created = container.command("create").variable("LISTEN_FDS", "1");
        let output = created.descriptor(3, t.new_file("activated ")).ok();
        container.start();
        eventually("it has said what it was given", || output.stdout().ends_with('\n'));
        assert_eq!(output.stdout(), "activated 1 1\n", "{output}");
    });
}

#[test]
fn the_last_value_of_a_variable_counts() {
    once(|t| {
        let env = json!(["PATH=/nowhere", "A=1", "B=2", "A=3", "PATH=/bin"]);
        let shown = t.output_of(
            t.bundle().set("/process/env", env).sh("tr '\\0' '\\n' < /proc/1/environ | grep -E '^(A|B|PATH)='"),
        );
        let mut lines: Vec<_> = shown.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["A=3", "B=2", "PATH=/bin"]);
    });
}

#[test]
fn the_runtimes_own_environment_stays_outside() {
    once(|t| {
        let container = t.container(t.bundle().sh("env; tr '\\0' '\\n' < /proc/1/environ"));
        let output = container.command("run").variable("SECRET_OF_CALLER", "x").ok();
        assert!(!output.stdout().contains("SECRET_OF_CALLER"), "{output}");
    });
}
