//! A bounded sample of the faults, on every run of the tests: each operation on each kind of container. All of them are tried by
//! `just faults`.

use std::path::Path;
use std::process::Command;

/// One fault out of so many: a prime, so that it is not always the same one of a step's.
const EVERY: [(&str, &[&str]); 2] =
    [("211", &["plain", "hooks", "user"]), ("997", &["terminal", "device", "agent", "notify"])];

#[test]
fn a_sample_of_all_faults_leaves_nothing_and_is_told() {
    if cfg!(not(target_arch = "x86_64")) || std::env::var_os("RUNTIME").is_some_and(|name| name != "corten") {
        eprintln!("skipped: faults are injected into corten on x86_64 only");
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_faults"));
    let corten = std::env::var_os("CORTEN").map_or_else(|| program.with_file_name("corten"), Into::into);
    for (every, kinds) in EVERY {
        let mut command = Command::new(program);
        command.arg("--corten").arg(&corten).args(["--every", every, "--parts", "1"]);
        command.args(kinds.iter().flat_map(|kind| ["--kind", kind]));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{text}");
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
