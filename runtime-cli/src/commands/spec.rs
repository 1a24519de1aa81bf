//! `corten spec`

use super::{Context, Verb};
use crate::args::{option, switch, text};
use crate::failure::Failure;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use serde::Serialize;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "spec",
    about: "write an example config.json to start from",
    operands: "",
    count: 0..=usize::MAX,
    options: |command| {
        command
            .arg(option("bundle", "DIR", "write it to DIR instead of the current directory").short('b'))
            .arg(switch("rootless", "for a container that an ordinary user runs"))
    },
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let ids = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let rootless = context.matches.get_flag("rootless").then_some(ids);
    let unified = statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC);
    let spec = libcorten::spec::example(rootless, unified);
    write(Path::new(text(&context.matches, "bundle").unwrap_or_default()), &spec)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `DIR/config.json`, indented with tabs as runc's is.
fn write(dir: &Path, spec: &impl Serialize) -> Result<(), Failure> {
    let mut json = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, indent);
    spec.serialize(&mut serializer).map_err(|error| Failure::new(error.to_string()))?;
    let path = dir.join("config.json");
    let failed = |error: std::io::Error| Failure::os(format_args!("write {}", path.display()), &error);
    match File::create_new(&path) {
        Ok(mut file) => file.write_all(&json).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::new("File config.json exists. Remove it first"))
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_exists_is_kept() {
        let dir = std::env::temp_dir().join(format!("corten-spec-test-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        write(&dir, &serde_json::json!({"a": ["b"]})).unwrap();
        let again = write(&dir, &serde_json::json!({})).unwrap_err();
        let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(again.message(), "File config.json exists. Remove it first");
        assert_eq!(text, "{\n\t\"a\": [\n\t\t\"b\"\n\t]\n}");
        let absent = write(Path::new("/nonexistent"), &serde_json::json!({})).unwrap_err();
        assert_eq!(absent.message(), "write /nonexistent/config.json: No such file or directory");
    }
}
