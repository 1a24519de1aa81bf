//! corten's command line beside runc's, in one run: the same command in the same situation must give the same exit code, the same
//! output and the same error text. Where it does not, the row says what each does and why.
//!
//! Runs when `RUNTIME` is corten and Debian's runc is installed.

use corten_integration::{Bundle, Container, HostView, Output, Runtime, Sandbox, eventually, skip};
use serde_json::{Value, json};

/// Both runtimes, each in its own sandbox; skips the test when there is only one.
macro_rules! both {
    () => {{
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join("runc").is_file());
        if Runtime::from_environment() != Runtime::Corten || !found {
            skip!("compares corten with runc");
        }
        [Sandbox::of(HostView::Native, Runtime::Corten), Sandbox::of(HostView::Native, Runtime::Runc)]
    }};
}

/// What is asked of the two messages.
#[derive(Clone, Copy)]
enum Texts {
    /// They are the same.
    Same,
    /// Both have this part, which engines look for; corten's names more.
    Both(&'static str),
    /// They differ on purpose: corten's part, runc's part, the reason.
    Differ(&'static str, &'static str, &'static str),
}
use Texts::{Both, Differ, Same};

/// What runc or corten said: exit code, standard output, and the message of the last error.
#[derive(Debug)]
struct Answer {
    code: i32,
    stdout: String,
    message: String,
}

fn message(stderr: &str) -> String {
    let of_line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(value) if value["level"] == "error" => value["msg"].as_str().map(str::to_owned),
        Ok(_) => None,
        Err(_) => line
            .split_once(" msg=")
            .map_or(Some(line.to_owned()), |(_, text)| Some(text.trim_matches('"').replace("\\\"", "\""))),
    };
    stderr.lines().filter_map(of_line).next_back().unwrap_or_default()
}

/// Takes away what must differ: names, paths, and runc's prefixes that say which verb has failed.
fn plain(t: &Sandbox, text: &str, id: &str, bundle: &str) -> String {
    let name = t.runtime().name();
    let text = text.replace(bundle, "BUNDLE").replace(id, "ID").replace(t.state_root().to_str().unwrap(), "ROOT");
    let text = text.replace(&format!("{name} create failed: "), "").replace(&format!("{name} run failed: "), "");
    let text = text.replace("unable to start container process: ", "").replace("exec failed: ", "");
    text.replace(&format!("{name}:"), "RUNTIME:")
        .replace(&format!("if {name} will"), "if RUNTIME will")
        .trim()
        .to_owned()
}

fn answer(t: &Sandbox, output: &Output, container: &Container<'_>) -> Answer {
    let (id, bundle) = (container.id(), container.bundle().path().to_str().unwrap());
    Answer {
        code: output.code(),
        stdout: plain(t, &output.stdout(), id, bundle),
        message: plain(t, &message(&output.stderr()), id, bundle),
    }
}

/// Runs `line`, in which `ID` and `BUNDLE` stand for the container's, and `''` for an empty word.
fn ask(t: &Sandbox, container: &Container<'_>, line: &str) -> Answer {
    let bundle = container.bundle().path().to_str().unwrap();
    let word = |word: &str| match word {
        "''" => String::new(),
        "LONG" => format!("/{}", "x".repeat(200)),
        "NOTJSON" => t.new_file("{not json").to_str().unwrap().to_owned(),
        word => word.replace("BUNDLE", bundle).replace("ID", container.id()).replace("\\x20", " "),
    };
    let words: Vec<String> = line.split_whitespace().map(word).collect();
    let operands: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let command = t.command(&words[0], &operands).global("--log-format").global("json");
    answer(t, &command.run(), container)
}

fn compare(what: &str, texts: Texts, [ours, runcs]: &[Answer; 2]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut demand = |holds: bool, part: &str| {
        if !holds {
            faults.push(format!("{what}: {part}:\n  corten: {ours:?}\n  runc:   {runcs:?}"));
        }
    };
    demand(ours.code == runcs.code, "exit code");
    match texts {
        Same => demand(ours.message == runcs.message, "message"),
        Both(part) => demand(ours.message.contains(part) && runcs.message.contains(part), "part of the message"),
        Differ(our_part, runcs_part, reason) => {
            demand(ours.message.contains(our_part) && runcs.message.contains(runcs_part), "known difference");
            assert!(!reason.is_empty());
        }
    }
    faults
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} differences:\n{}", faults.len(), faults.join("\n"));
}

/// The verbs that a help names.
fn verbs(t: &Sandbox) -> Vec<String> {
    let help = t.command("--help", &[]).ok().stdout();
    let list = help.lines().skip_while(|line| *line != "COMMANDS:").skip(1);
    let names = list.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.map(|name| name.trim_end_matches(',').to_owned()).filter(|name| name != "help").collect()
}

/// An option in a help: its names, and its default if one is named.
#[derive(Debug)]
struct Flag {
    names: Vec<String>,
    default: Option<String>,
}

fn flags(help: &str) -> Vec<Flag> {
    let lines = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let flag = |line: &str| {
        let line = line.trim();
        let end = line.find("  ").unwrap_or(line.len());
        let words = line[..end].split([' ', ',', '=']).filter(|word| word.starts_with('-'));
        let default = line.split_once("default: ").map(|(_, rest)| rest.trim_end_matches([')', ']']).replace('"', ""));
        Flag { names: words.map(str::to_owned).collect(), default }
    };
    lines.map(flag).collect()
}

/// Options of runc that corten does not have, or whose default is another, with the reason.
const FLAGS: &[(&str, &str, &str)] = &[
    ("", "--criu", "hidden in the help: accepted, of no use without checkpoint"),
    ("", "--root", "corten's own state directory, /run/corten"),
    ("checkpoint", "--status-fd", "the verb is refused"),
];

#[test]
fn every_option_of_runc_is_there_with_its_default() {
    let [t, runc] = both!();
    let ours = verbs(&t);
    let mut faults = Vec::new();
    for verb in verbs(&runc).iter().map(String::as_str).chain([""]) {
        if !verb.is_empty() && !ours.iter().any(|name| name == verb) {
            faults.push(format!("{verb} is missing"));
            continue;
        }
        let topic: &[&str] = &[verb];
        let topic = if verb.is_empty() { &[] } else { topic };
        let of = |t: &Sandbox| flags(&t.command("help", topic).ok().stdout());
        let known = of(&t);
        for flag in of(&runc) {
            let same = known.iter().find(|ours| flag.names.iter().all(|name| ours.names.contains(name)));
            let excused =
                FLAGS.iter().any(|(who, name, _)| *who == verb && flag.names.iter().any(|known| known == name));
            let default = flag.default.as_deref().filter(|default| *default != "0");
            match same {
                Some(ours) if default.is_none() || ours.default.as_deref() == default => {}
                _ if excused => {}
                other => faults.push(format!("{verb} {flag:?}: {other:?}")),
            }
        }
    }
    none(&faults);
}

/// What a container is when a command comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    Absent,
    Created,
    Running,
    Paused,
    Stopped,
}
use Situation::{Absent, Created, Paused, Running, Stopped};

fn bring(container: &Container<'_>, situation: Situation) {
    match situation {
        Absent => {}
        Created => drop(container.create()),
        Running => drop(container.run_detached()),
        Paused => {
            container.run_detached();
            container.command("pause").ok();
        }
        Stopped => {
            container.run_detached();
            container.kill("KILL");
            container.wait_for("stopped");
        }
    }
}

const ID_MESSAGES: &str = "corten names the id, or what is wrong with it";

const SITUATIONS: &[(Situation, &str, Texts)] = &[
    (Absent, "state ID", Same),
    (Absent, "start ID", Same),
    (Absent, "kill ID", Same),
    (Absent, "kill ID KILL", Same),
    (Absent, "kill --all ID KILL", Same),
    (Absent, "delete ID", Same),
    (Absent, "delete --force ID", Same),
    (Absent, "delete --force --force=false ID", Same),
    (Absent, "pause ID", Same),
    (Absent, "resume ID", Same),
    (Absent, "ps ID", Same),
    (Absent, "exec ID true", Same),
    (Absent, "update --pids-limit 10 ID", Same),
    (Absent, "events --stats ID", Same),
    (Running, "update --pids-limit x ID", Same),
    (Running, "update --blkio-weight x ID", Same),
    (Running, "update --memory x ID", Same),
    (Running, "update --memory-swap 1x ID", Same),
    (Running, "update --cpu-quota x ID", Both("invalid value for cpu-quota: ")),
    (Running, "update --cpu-share -1 ID", Both("invalid value for cpu-share: ")),
    (Running, "update --cpuset-cpus 4095 ID", Both("umerical result out of range")),
    (Running, "update --cpuset-cpus x ID", Both("nvalid argument")),
    (
        Running,
        "update --memory 1k ID",
        Differ("bytes are in use", "unable to set memory limit to 1024 (current usage:", "the kernel's word as well"),
    ),
    (Running, "update --resources /nonexistent ID", Both("open /nonexistent: ")),
    (Running, "update --resources NOTJSON ID", Differ("linux.resources: ", "invalid character", ERRNO_WORDS)),
    (Running, "update --no-such-option ID", Same),
    (Running, "update ID", Same),
    (Stopped, "update --pids-limit 10 ID", Differ("not running", "", "runc writes to a cgroup that nobody is in")),
    (Running, "events --interval x ID", Same),
    (Running, "events --interval 0s ID", Same),
    (Running, "events --interval=-1s ID", Same),
    (Stopped, "events --stats ID", Same),
    (Running, "ps --format xml ID", Same),
    (Running, "ps ID --no-such-option-of-ps", Both("unknown gnu long option")),
    (Stopped, "ps ID", Same),
    (Running, "kill ID 65", Differ("unknown signal", "invalid argument", "runc passes any number to the kernel")),
    (Running, "kill ID SIGSIGTERM", Same),
    (Running, "kill ID winch", Same),
    (Running, "checkpoint ID", Differ("does not support checkpoint", "", "not there yet: see 0005")),
    (Created, "create --bundle BUNDLE ID", Both("container with given ID already exists")),
    (Created, "run --bundle BUNDLE ID", Both("container with given ID already exists")),
    (Created, "kill ID 0", Same),
    (Created, "kill ID FOO", Same),
    (Created, "kill ID 1000", Differ("unknown signal", "", "runc passes any number to the kernel")),
    (Created, "kill ID ''", Same),
    (Created, "delete ID", Same),
    (Created, "delete -f ID", Same),
    (Created, "pause ID", Same),
    (Created, "resume ID", Same),
    (Created, "start ID", Same),
    (Absent, "create ID --bundle BUNDLE", Same),
    (Absent, "-log-format=json -debug=false state ID", Same),
    (Running, "start ID", Same),
    (Running, "delete ID", Same),
    (Running, "delete --force=false ID", Same),
    (Running, "delete --force ID", Same),
    (Running, "delete ID --force", Same),
    (Running, "kill ID", Same),
    (Running, "kill ID sigterm", Same),
    (Running, "kill ID 34", Same),
    (Running, "kill -a ID KILL", Same),
    (Running, "resume ID", Same),
    (Running, "exec ID true", Same),
    (Running, "exec ID false", Same),
    (Running, "--systemd-cgroup=false kill ID", Same),
    (Paused, "pause ID", Same),
    (Paused, "start ID", Same),
    (Paused, "delete ID", Same),
    (Paused, "exec ID true", Same),
    (Paused, "resume ID", Same),
    (Paused, "delete --force ID", Same),
    (Stopped, "start ID", Same),
    (Stopped, "kill ID", Same),
    (Stopped, "kill ID 0", Same),
    (Stopped, "kill --all ID KILL", Same),
    (Stopped, "pause ID", Same),
    (Stopped, "resume ID", Same),
    (Stopped, "exec ID true", Same),
    (Stopped, "delete ID", Same),
    (Stopped, "delete --force ID", Same),
];

#[test]
fn every_verb_in_every_situation() {
    let [t, runc] = both!();
    let mut faults = Vec::new();
    for (situation, line, texts) in SITUATIONS {
        let answers = [&t, &runc].map(|t| {
            let container = t.container(t.bundle().args(&["sleep", "1000"]));
            bring(&container, *situation);
            let answer = ask(t, &container, line);
            t.command("delete", &["--force", container.id()]).ok();
            answer
        });
        faults.extend(compare(&format!("{situation:?}: {line}"), *texts, &answers));
        let outputs = answers.each_ref().map(|answer| output_or_usage(&answer.stdout));
        if outputs[0] != outputs[1] && !line.starts_with("ps") {
            faults.push(format!("{situation:?}: {line}: output: {answers:?}"));
        }
    }
    none(&faults);
}

/// `exec` in a container that runs: all that it can be asked wrongly, and what options do.
const EXEC: &[(&str, Texts)] = &[
    ("exec ID", Same),
    ("exec ID sh -c exit\\x207", Same),
    ("exec ID true --cwd /nonexistent", Same),
    ("exec -cwd /bin ID pwd", Same),
    ("exec --cwd=/bin --env A=1 --env A=2 ID sh -c echo\\x20$A;pwd", Same),
    ("exec -u 1000:1001 -g 5 -g 6 ID id", Same),
    ("exec --user +1 ID id", Same),
    ("exec --detach ID true", Same),
    ("exec ID nothere", Both("exec: \"nothere\": executable file not found in $PATH")),
    ("exec ID /not/there", Both("exec: \"/not/there\": stat /not/there: no such file or directory")),
    ("exec ID /etc/passwd", Both("exec: \"/etc/passwd\": permission denied")),
    ("exec ID /bin", Differ("exec: \"/bin\": is a directory", "exec: \"/bin\": permission denied", ERRNO_WORDS)),
    ("exec --cwd /nonexistent ID true", Differ("process.cwd: ", "chdir to cwd", ERRNO_WORDS)),
    ("exec --cwd relative ID true", Differ("process.cwd: ", "Cwd must be an absolute path", ERRNO_WORDS)),
    ("exec --cwd /bin/busybox ID true", Differ("process.cwd: ", "not a directory", ERRNO_WORDS)),
    ("exec --user nobody ID true", Both("as int for uid failed: ")),
    ("exec --user 1:staff ID true", Both("as int for gid failed: ")),
    ("exec --user 1:2:3 ID true", Both("as int for gid failed: ")),
    ("exec --user 1x ID true", Both("as int for uid failed: ")),
    ("exec --user -1 ID true", Both("uids and gids must be in range")),
    ("exec --additional-gids x ID true", Both("invalid value \"x\" for flag -additional-gids: ")),
    ("exec --cap CAP_NOTHING ID true", Same),
    ("exec --env A ID true", Differ("process.env[3]: ", "invalid environment variable: \"A\"", ERRNO_WORDS)),
    ("exec --tty ID true", Both("open /dev/tty: ")),
    ("exec --tty --detach ID true", Same),
    ("exec --console-socket /nonexistent ID true", Same),
    ("exec --tty --detach --console-socket /nonexistent ID true", Both("/nonexistent: ")),
    (
        "exec --tty --detach --console-socket LONG ID true",
        Differ("File name too long", "invalid argument", ERRNO_WORDS),
    ),
    (
        "exec --preserve-fds 100 ID true",
        Differ("--preserve-fds 100: file descriptor", "preserved-fd", "the option is named"),
    ),
    ("exec --preserve-fds x ID true", Same),
    ("exec --process /nonexistent ID", Both("/nonexistent: ")),
    ("exec --process NOTJSON ID", Differ("process: key must be a string", "invalid character 'n'", ERRNO_WORDS)),
    (
        "exec --process BUNDLE/config.json ID",
        Differ("process.cwd: is missing", "Cwd property must not be empty", ERRNO_WORDS),
    ),
    ("exec --pid-file /nonexistent/pid ID true", Both("/nonexistent/")),
    ("exec --cgroup nothere ID true", Both("nothere")),
    ("exec --cgroup a:b:c ID true", Same),
    ("exec --no-such-option ID true", Same),
    ("exec --apparmor no-such-profile ID true", Both("apparmor")),
    ("exec --process-label no:such:label:s0 ID true", Both("selinux label is specified in config, but selinux is")),
    ("exec ID ''", Both("exec: \"\": executable file not found in $PATH")),
    ("exec ID -- true", Both("exec: \"--\": executable file not found in $PATH")),
    ("exec -- ID true", Same),
    ("exec --user :5 ID id", Both("parsing  as int for uid failed: ")),
    ("exec --user '' ID id", Same),
    ("exec --cwd '' ID pwd", Same),
    ("exec --env '' ID true", Differ("process.env[", "invalid environment variable: \"\"", ERRNO_WORDS)),
    ("exec --env =x ID true", Differ("has no name", "environment variable name can't be empty", ERRNO_WORDS)),
    ("exec '' true", Differ("invalid container ID format", "container id cannot be empty", ID_MESSAGES)),
    ("exec --cgroup ../.. ID true", Both("../.. is not a sub cgroup path")),
    ("exec --ignore-paused ID true", Same),
    (
        "exec --preserve-fds 2000000000 ID true",
        Differ("--preserve-fds 2000000000", "preserved-fd", "the option is named"),
    ),
];

#[test]
fn exec_in_a_running_container() {
    let [t, runc] = both!();
    let mut faults = Vec::new();
    let containers = [&t, &runc].map(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        (t, container)
    });
    for (line, texts) in EXEC {
        let answers = containers.each_ref().map(|(t, container)| ask(t, container, line));
        faults.extend(compare(line, *texts, &answers));
        let outputs = answers.each_ref().map(|answer| output_or_usage(&answer.stdout));
        if outputs[0] != outputs[1] {
            faults.push(format!("{line}: output: {answers:?}"));
        }
    }
    for (t, container) in &containers {
        // Nothing of what failed is left in the container.
        eventually("it is alone", || {
            t.command("ps", &["--format", "json", container.id()]).ok().stdout().matches(',').count() == 0
        });
        t.command("delete", &["--force", container.id()]).ok();
        t.assert_nothing_left();
    }
    none(&faults);
}

/// The usage itself is worded otherwise.
fn output_or_usage(stdout: &str) -> &str {
    let usage = "Incorrect Usage";
    if stdout.starts_with(usage) { usage } else { stdout }
}

/// Wrong command lines, without a container.
const WRONG: &[(&str, Texts)] = &[
    ("create", Same),
    ("create a b", Same),
    ("start", Same),
    ("state", Same),
    ("state a b", Same),
    ("kill", Same),
    ("kill a TERM b", Same),
    ("delete", Same),
    ("list a", Same),
    ("pause", Same),
    ("resume a b", Same),
    ("ps", Same),
    ("checkpoint", Same),
    ("restore", Same),
    ("no-such-verb", Same),
    ("--no-such-option list", Same),
    ("list --no-such-option", Same),
    ("create --bundle", Same),
    ("create --preserve-fds x ID", Same),
    (
        "create --preserve-fds -1 ID",
        Differ("invalid value \"-1\" for flag", "config.json not found", "runc takes it for none"),
    ),
    ("list -q=perhaps", Both("invalid boolean value \"perhaps\" for")),
    ("list --format xml", Same),
    ("ps --format xml ID", Differ("does not exist", "does not exist", "the container is looked for first")),
    ("--log-format xml list", Same),
    ("--log /nonexistent/log list", Both("/nonexistent/log: ")),
    ("--rootless perhaps create --bundle BUNDLE ID", Both("perhaps")),
    ("state ''", Differ("invalid container ID format", "container id cannot be empty", ID_MESSAGES)),
    ("state a/b", Both("invalid container ID format")),
    ("state ..", Both("invalid container ID format")),
    ("create --bundle BUNDLE a:b", Both("invalid container ID format")),
    (
        "create --bundle /nonexistent ID",
        Differ(
            "/nonexistent/config.json: No such file",
            "chdir /nonexistent: no such file",
            "runc changes its working directory",
        ),
    ),
    ("create --bundle BUNDLE --pid-file /nonexistent/pid ID", Both("/nonexistent/")),
    ("create --bundle BUNDLE --console-socket /nonexistent ID", Same),
    ("run --bundle BUNDLE --detach --console-socket /nonexistent ID", Same),
    ("run --bundle BUNDLE --console-socket /nonexistent ID", Same),
    (
        "run --bundle BUNDLE --preserve-fds 100 ID",
        Differ("--preserve-fds 100: file descriptor", "preserved-fd", "the option is named"),
    ),
    (
        "run --bundle BUNDLE --preserve-fds 2000000000 ID",
        Differ("--preserve-fds 2000000000: file descriptor", "preserved-fd", "the option is named"),
    ),
    ("exec", Same),
    ("update", Same),
    ("events", Same),
];

#[test]
fn wrong_command_lines() {
    let [t, runc] = both!();
    let mut faults = Vec::new();
    // None of the lines creates it.
    let containers = [&t, &runc].map(|t| (t, t.container(t.bundle().args(&["true"]))));
    for (line, texts) in WRONG {
        let answers = containers.each_ref().map(|(t, container)| ask(t, container, line));
        faults.extend(compare(line, *texts, &answers));
        // The usage stands on standard output in the same cases.
        let same = !matches!(texts, Differ(..));
        if same && answers[0].stdout.starts_with("Incorrect Usage") != answers[1].stdout.starts_with("Incorrect Usage")
        {
            faults.push(format!("{line}: usage: {answers:?}"));
        }
    }
    [&t, &runc].into_iter().for_each(Sandbox::assert_nothing_left);
    none(&faults);
}

const ERRNO_WORDS: &str = "corten writes errors as the C library does, and names the element";

/// Bundles that cannot be started: the element, its value, and what is said of it.
fn bundles() -> Vec<(&'static str, Value, Texts)> {
    vec![
        ("/process/args/0", json!("nothere"), Both("exec: \"nothere\": executable file not found in $PATH")),
        (
            "/process/args/0",
            json!("/not/there"),
            Both("exec: \"/not/there\": stat /not/there: no such file or directory"),
        ),
        ("/process/args/0", json!("/etc/passwd"), Both("exec: \"/etc/passwd\": permission denied")),
        (
            "/process/args/0",
            json!("/bin"),
            Differ(
                "exec: \"/bin\": is a directory",
                "exec: \"/bin\": permission denied",
                "as runc since 1.2, which Docker knows",
            ),
        ),
        ("/process/args/0", json!("/bin/odd"), Both("xec format error")),
        ("/process/args", json!([]), Differ("process.args: ", "args must not be empty", ERRNO_WORDS)),
        ("/process/cwd", json!("relative"), Differ("process.cwd: ", "Cwd must be an absolute path", ERRNO_WORDS)),
        ("/process/cwd", json!("/bin/busybox"), Differ("process.cwd: ", "not a directory", ERRNO_WORDS)),
        ("/process/user/uid", json!("root"), Differ("process.user.uid: ", "cannot unmarshal string", ERRNO_WORDS)),
        ("/root/path", json!("missing"), Differ("root.path: ", "missing", ERRNO_WORDS)),
        ("/linux/namespaces/0/type", json!("odd"), Differ("linux.namespaces[0].type: ", "odd", ERRNO_WORDS)),
        ("/mounts/6/type", json!("nofs"), Differ("mounts[6]", "no such device", ERRNO_WORDS)),
        (
            "/hooks",
            json!({"createRuntime": [{"path": "/not/there"}]}),
            Differ("hooks.createRuntime[0]", "/not/there: no such file", ERRNO_WORDS),
        ),
        ("/process/rlimits/0/type", json!("RLIMIT_ODD"), Differ("process.rlimits[0].type", "RLIMIT_ODD", ERRNO_WORDS)),
    ]
}

/// The configuration, written into both bundles.
fn edited(t: &Sandbox, pointer: &str, value: &Value) -> Bundle {
    let odd = t.bundle().file("/bin/odd", "neither script nor program", 0o755);
    odd.args(&["sleep", "1000"]).set(pointer, value.clone())
}

#[test]
fn bundles_that_cannot_be_started() {
    let [t, runc] = both!();
    let mut faults = Vec::new();
    for (pointer, value, texts) in bundles() {
        for verb in ["create", "run"] {
            let what = format!("{verb} with {pointer} = {value}");
            let answers = [&t, &runc].map(|t| {
                let container = t.container(edited(t, pointer, &value));
                let mut answer = ask(t, &container, &format!("{verb} --bundle BUNDLE ID"));
                if answer.code == 0 && verb == "create" {
                    answer = ask(t, &container, "start ID");
                }
                t.command("delete", &["--force", container.id()]).ok();
                t.assert_nothing_left();
                answer
            });
            // A program of a bad format shows only when it is executed: runc's start has returned by then.
            if value == "/bin/odd" && verb == "create" {
                assert!(answers[0].code == 1 && answers[0].message.contains("xec format error"), "{answers:?}");
                continue;
            }
            faults.extend(compare(&what, texts, &answers));
        }
    }
    none(&faults);
}

/// The same keys in the same order, and values of the same type.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().take(1).map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!(0),
        other => other.clone(),
    }
}

#[test]
fn state_and_list_have_the_same_form() {
    let [t, runc] = both!();
    let forms = [&t, &runc].map(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]).set("/annotations", json!({"a": "b"})));
        container.create();
        let state = t.command("state", &[container.id()]).ok().stdout();
        let list = t.command("list", &["--format", "json"]).ok().stdout();
        let table = t.command("list", &[]).ok().stdout();
        let header = table.lines().next().unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let keys = state.lines().filter_map(|line| line.trim().split_once("\": ")).map(|(key, _)| key.to_owned());
        let parse = |text: &str| shape(&serde_json::from_str(text).unwrap());
        (keys.collect::<Vec<_>>(), parse(&state), parse(&list), header, state.starts_with("{\n  \""))
    });
    assert_eq!(forms[0], forms[1]);
}

#[test]
fn the_log_has_the_same_lines() {
    let [t, runc] = both!();
    let failing =
        ["state nobody", "state", "state --bogus x", "no-such-verb", "create --bundle BUNDLE ID", "list --format x"];
    for line in failing {
        let logs = [&t, &runc].map(|t| {
            let container = t.container(t.bundle().args(&["nothere"]));
            let bundle = container.bundle().path().to_str().unwrap();
            let line = line.replace("BUNDLE", bundle).replace("ID", container.id());
            let words: Vec<&str> = line.split_whitespace().collect();
            let log = t.new_path("log");
            let command = t.command(words[0], &words[1..]).global("--log").global(&log).global("--log-format");
            let output = command.global("json").run();
            let text = std::fs::read_to_string(&log).unwrap();
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let last = lines.last().unwrap_or_else(|| panic!("nothing in the log of {output}"));
            // The reason is on standard error as well.
            assert!(!output.stderr().trim().is_empty(), "{output}");
            let time = last["time"].as_str().unwrap();
            assert!(time.len() >= 20 && time.as_bytes()[10] == b'T', "{time}");
            (last["level"].clone(), last.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        });
        assert_eq!(logs[0], logs[1], "{line}");
        assert_eq!(logs[0].1, ["level", "msg", "time"], "{line}");
    }
}

#[test]
fn the_example_configuration_is_runcs() {
    let [t, runc] = both!();
    for options in [&[][..], &["--rootless"]] {
        let specs = [&t, &runc].map(|t| {
            let directory = t.new_directory();
            t.command("spec", options).directory(&directory).ok();
            let mut spec: Value =
                serde_json::from_slice(&std::fs::read(directory.join("config.json")).unwrap()).unwrap();
            // corten implements a newer one.
            spec["ociVersion"] = json!("");
            // They are sets.
            for set in spec["process"]["capabilities"].as_object_mut().unwrap().values_mut() {
                set.as_array_mut().unwrap().sort_by_key(ToString::to_string);
            }
            // The name is the runtime's.
            spec["hostname"] = json!("");
            spec
        });
        assert_eq!(specs[0], specs[1], "{options:?}");
    }
}

#[test]
fn version_and_help_have_the_same_form() {
    let [t, runc] = both!();
    for flag in ["--version", "-v"] {
        let keys = [&t, &runc].map(|t| {
            let text = t.command(flag, &[]).ok().stdout();
            assert!(text.starts_with(&format!("{} version ", t.runtime().name())), "{text}");
            assert!(text.lines().any(|line| line.starts_with("spec: 1.")), "{text}");
        });
        assert_eq!(keys.len(), 2);
    }
    for t in [&t, &runc] {
        for (verb, operands) in
            [("help", &[][..]), ("h", &[]), ("--help", &[]), ("-h", &[]), ("run", &["--help"]), ("run", &["-h"])]
        {
            let text = t.command(verb, operands).ok().stdout();
            assert!(text.starts_with("NAME:\n   ") && text.contains("\nUSAGE:\n   "), "{verb} {operands:?}: {text}");
        }
    }
}
