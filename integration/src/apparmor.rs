//! AppArmor: whether it is at work, and a profile for a test.

use std::process::Command;

/// Whether AppArmor is at work on this kernel.
pub fn apparmor_is_on() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

/// A profile that allows everything but to write below /forbidden, unloaded when dropped.
pub struct Profile {
    name: String,
    text: String,
}

impl Profile {
    /// Loads one with a name of its own.
    ///
    /// # Panics
    /// When apparmor_parser is not there or refuses it.
    pub fn load(purpose: &str) -> Profile {
        let name = format!("corten-test-{purpose}-{}", std::process::id());
        let text = format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n  file,\n  capability,\n  network,\n  \
             mount,\n  signal,\n  ptrace,\n  unix,\n  deny /forbidden/** w,\n}}\n"
        );
        parse(&text, "--replace");
        Profile { name, text }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the kernel calls a process that it holds for.
    pub fn label(&self) -> String {
        format!("{} (enforce)", self.name)
    }
}

fn parse(text: &str, how: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let status = Command::new("apparmor_parser").args([how, "--skip-cache"]).arg(file.path()).status().unwrap();
    assert!(status.success(), "apparmor_parser {how}: {status}");
}

impl Drop for Profile {
    fn drop(&mut self) {
        parse(&self.text, "--remove");
    }
}

/// The label of a process once it executes `program`, as the machine's own procfs has it; `None` if it has ended.
///
/// # Panics
/// When it executes something else for too long.
pub fn label_of(pid: i64, program: &str) -> Option<String> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let mut ended = false;
    crate::eventually(&format!("{pid} executes {program}"), || {
        let name = read("comm");
        ended = name.is_none();
        ended || name.is_some_and(|name| name.trim_end() == program)
    });
    if ended { None } else { read("attr/current").map(|label| label.trim_end().to_owned()) }
}
