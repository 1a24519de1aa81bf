//! Completions and manual pages: what the shells and man(1) make of them.

use corten_integration::{Runtime, Sandbox, once, skip};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

macro_rules! corten_only {
    () => {
        if Runtime::from_environment() != Runtime::Corten {
            skip!("the other runtimes come with scripts and pages in files");
        }
    };
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn text(t: &Sandbox, verb: &str, operands: &[&str]) -> (String, PathBuf) {
    let text = t.command(verb, operands).ok().stdout();
    let path = t.new_file(&text);
    (text, path)
}

/// What bash proposes for a line whose last word is at the cursor; words are separated by `|`.
fn proposals(t: &Sandbox, script: &Path, line: &str) -> Vec<String> {
    let program = Runtime::Corten.program();
    let complete = r#"source "$1"; program=$2; IFS='|' read -ra words <<<"$3"; [[ $3 != *'|' ]] || words+=('')
        COMP_WORDS=("$program" "${words[@]}"); COMP_CWORD=${#words[@]}; COMPREPLY=(); _corten; printf '%s\n' "${COMPREPLY[@]}""#;
    let line = line.replace("ROOT", t.state_root().to_str().unwrap());
    let output = Command::new("bash")
        .args(["--norc", "-c", complete, "bash"])
        .args([script.as_os_str(), program.as_os_str(), line.as_ref()])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_options_values_and_ids() {
    corten_only!();
    once(|t| {
        let (_, script) = text(t, "completion", &["bash"]);
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.create();
        for (line, expected) in [
            ("crea", &["create"][..]),
            ("--log-format|", &["text", "json"]),
            ("--log-format|=|j", &["json"]),
            ("list|-f|t", &["table"]),
            ("create|--no-p", &["--no-pivot"]),
            ("create|x|--no-p", &["--no-pivot"]),
            ("run|--det", &["--detach"]),
            ("kill|x|SIGKI", &["SIGKILL"]),
            ("--root|ROOT|state|", &[container.id()]),
            ("--root|=|ROOT|delete|--force|", &[container.id()]),
            ("--root|ROOT|kill|-a|", &[container.id()]),
            ("create|--bundle|/et", &["/etc"]),
            ("create|--bundle|=|/et", &["/etc"]),
            ("completion|", &["bash", "zsh", "fish"]),
            ("state|x|", &["--help", "-h"]),
        ] {
            assert_eq!(proposals(t, &script, line), expected, "{line}");
        }
        let verbs = proposals(t, &script, "|");
        for verb in ["check", "create", "delete", "kill", "list", "plan", "run", "spec", "start", "state"] {
            assert!(verbs.iter().any(|proposal| proposal == verb), "{verb} in {verbs:?}");
        }
    });
}

fn checked(program: &str, arguments: &[&str], file: &Path) -> Option<Output> {
    if !is_installed(program) {
        eprintln!("not checked: {program} is not installed");
        return None;
    }
    Some(Command::new(program).args(arguments).arg(file).output().unwrap())
}

#[test]
fn zsh_and_fish_accept_their_scripts() {
    corten_only!();
    once(|t| {
        for (shell, options) in [("zsh", "-n"), ("fish", "--no-execute")] {
            let (script, path) = text(t, "completion", &[shell]);
            assert!(script.contains("create") && script.contains("pid-file"), "{script}");
            if let Some(output) = checked(shell, &[options], &path) {
                assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
            }
        }
        if is_installed("fish") {
            let (_, path) = text(t, "completion", &["fish"]);
            let ask = format!("source {}; complete -C 'corten create --no-p'", path.display());
            let output = Command::new("fish").args(["--no-config", "-c", &ask]).output().unwrap();
            assert!(String::from_utf8_lossy(&output.stdout).starts_with("--no-pivot"), "{output:?}");
        }
        t.command("completion", &["tcsh"]).fails(1);
        t.command("completion", &[]).fails(1);
    });
}

#[test]
fn manual_pages_are_good_roff() {
    corten_only!();
    once(|t| {
        let overview = text(t, "man", &[]).0;
        let verbs: Vec<&str> =
            overview.lines().filter_map(|line| line.strip_prefix("\\fBcorten\\-")?.strip_suffix("\\fR(8)")).collect();
        assert!(verbs.contains(&"create") && verbs.len() >= 12, "{verbs:?}");
        for verb in verbs.iter().map(|verb| vec![*verb]).chain([vec![]]) {
            let (page, path) = text(t, "man", &verb);
            assert!(page.starts_with(".TH \"CORTEN"), "{verb:?}: {page}");
            if let Some(output) = checked("man", &["--warnings", "-E", "UTF-8", "-l"], &path) {
                assert!(output.status.success() && output.stderr.is_empty(), "{verb:?}: {output:?}");
                assert!(String::from_utf8_lossy(&output.stdout).contains("OPTIONS"), "{verb:?}: {output:?}");
            }
            if let Some(output) = checked("mandoc", &["-Tlint", "-Wwarning"], &path) {
                // The file has the test's name, and a page that is made anew by every build has no date.
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let expected = |line: &&str| !line.contains("section mismatch") && !line.contains("missing date");
                let lines: Vec<&str> = text.lines().filter(expected).collect();
                assert!(lines.is_empty(), "{verb:?}: {lines:#?}");
            }
        }
        t.command("man", &["nothing"]).fails(1);
    });
}

/// Podman asks `checkpoint --help` whether a runtime can do it.
#[test]
fn checkpoint_and_restore_say_that_they_are_not_there() {
    corten_only!();
    once(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.create();
        let checkpoint = ["--image-path", "/nonexistent", "--leave-running", "--file-locks"];
        let command = checkpoint.iter().fold(container.command("checkpoint"), |command, word| command.option(*word));
        let output = command.fails(1);
        assert!(output.stderr().contains("does not support checkpoint"), "{output}");
        assert_eq!(container.status(), "created");
        let restore = t.command("restore", &["x"]).option("--image-path").option("/nonexistent").option("-d");
        let output = restore.option("--bundle").option(container.bundle().path()).fails(1);
        assert!(output.stderr().contains("does not support restore"), "{output}");
        t.command("checkpoint", &[]).option("--help").fails(1);
        t.command("checkpoint", &["x"]).option("--no-such-option").fails(1);
        assert!(t.command("help", &["checkpoint"]).ok().stdout().contains("--image-path"));
    });
}
