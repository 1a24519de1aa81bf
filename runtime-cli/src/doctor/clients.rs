//! Which engines on this machine are told to call corten.
//!
//! Their files are only searched for what concerns a runtime: TOML is looked at line by line, not parsed.

use super::Finding;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Looks for corten in the text of a file.
type Reader = fn(&str) -> Result<Option<String>, String>;

const AREA: &str = "clients";

pub(super) fn examine() -> Vec<Finding> {
    let own = std::env::current_exe().map_or("/usr/local/bin/corten".into(), |path| path.display().to_string());
    let users = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config/containers"));
    let of_podman = [users, Some("/etc/containers".into()), Some("/usr/share/containers".into())];
    let of_podman = of_podman.into_iter().flatten().flat_map(|directory| containers_conf(&directory)).collect();
    vec![
        client(
            "docker",
            "dockerd",
            vec!["/etc/docker/daemon.json".into()],
            docker,
            &format!(r#"add {{"runtimes": {{"corten": {{"path": "{own}"}}}}}} to /etc/docker/daemon.json"#),
        ),
        client(
            "containerd",
            "containerd",
            with_drop_ins("/etc/containerd/config.toml".into(), Path::new("/etc/containerd/conf.d"), "toml"),
            containerd,
            &format!(r#"set BinaryName = "{own}" in the options of a runtime of /etc/containerd/config.toml"#),
        ),
        client(
            "podman",
            "podman",
            of_podman,
            podman,
            &format!(r#"add corten = ["{own}"] below [engine.runtimes] in /etc/containers/containers.conf"#),
        ),
    ]
}

/// `containers.conf` of a directory and its drop-ins, see `containers.conf(5)`.
fn containers_conf(directory: &Path) -> Vec<PathBuf> {
    with_drop_ins(directory.join("containers.conf"), &directory.join("containers.conf.d"), "conf")
}

/// A file, and those of a directory that have this extension.
fn with_drop_ins(file: PathBuf, directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let drop_ins = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
    std::iter::once(file).chain(drop_ins).collect()
}

/// Where a program is, by PATH and where the system's daemons are.
pub(super) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    directories.map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// What a client's files say; an error when one cannot be understood.
fn client(name: &str, program: &str, paths: Vec<PathBuf>, read: Reader, fix: &str) -> Finding {
    let mut looked_at = Vec::new();
    for path in paths {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let path = path.display().to_string();
        match read(&text) {
            Ok(Some(how)) => return Finding::good(AREA, name, format!("{path}: {how}")),
            Ok(None) => looked_at.push(path),
            Err(error) => return Finding::limited(AREA, name, format!("{path}: {error}"), "mend the file"),
        }
    }
    match (looked_at.as_slice(), installed(program)) {
        ([], None) => Finding::good(AREA, name, "neither installed nor configured here"),
        ([], Some(_)) => Finding::limited(AREA, name, "has no settings here, so it calls another runtime", fix),
        (files, _) => Finding::limited(AREA, name, format!("{} does not name corten", files.join(" or ")), fix),
    }
}

fn docker(text: &str) -> Result<Option<String>, String> {
    let config: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let runtimes = config.get("runtimes").and_then(Value::as_object);
    let ours = runtimes.into_iter().flatten().find(|(_, runtime)| {
        let path = runtime.get("path").or_else(|| runtime.pointer("/options/BinaryName"));
        path.and_then(Value::as_str).is_some_and(is_corten)
    });
    let Some((name, _)) = ours else { return Ok(None) };
    let default = config.get("default-runtime").and_then(Value::as_str) == Some(name);
    Ok(Some(format!("runtime {name:?}{}", if default { ", the default" } else { "; docker run --runtime takes it" })))
}

fn containerd(text: &str) -> Result<Option<String>, String> {
    let name = assignments(text).find(|(key, value)| key.eq_ignore_ascii_case("BinaryName") && is_corten(value));
    Ok(name.map(|(_, value)| format!("BinaryName {value}")))
}

fn podman(text: &str) -> Result<Option<String>, String> {
    let lines = assignments(text);
    let runtime = lines.into_iter().find(|(key, value)| {
        (key == "runtime" && value == "corten") || value.split(['[', ']', ',', '"', ' ']).any(is_corten_path)
    });
    Ok(runtime.map(|(key, value)| format!("{key} = {value}")))
}

/// `KEY = VALUE` of a TOML file, without comments and quotes around the value.
fn assignments(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| {
        let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        (key.trim().trim_matches('"').to_owned(), value.to_owned())
    })
}

fn is_corten(path: &str) -> bool {
    path.rsplit('/').next() == Some("corten")
}

fn is_corten_path(path: &str) -> bool {
    path.starts_with('/') && is_corten(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_corten() {
        let cases: [(Reader, &str, Option<&str>); 8] = [
            (docker, "{}", None),
            (docker, r#"{"runtimes": {"x": {"path": "/bin/runc"}}}"#, None),
            (
                docker,
                r#"{"runtimes": {"x": {"path": "/b/corten"}}, "default-runtime": "x"}"#,
                Some("runtime \"x\", the default"),
            ),
            (
                docker,
                r#"{"runtimes": {"x": {"options": {"BinaryName": "/b/corten"}}}}"#,
                Some("runtime \"x\"; docker run --runtime takes it"),
            ),
            (containerd, "  # BinaryName = \"/b/corten\"\nBinaryName = \"\"", None),
            (containerd, "  BinaryName = \"/b/corten\" # ours", Some("BinaryName /b/corten")),
            (podman, "runtime = \"crun\"", None),
            (podman, "[engine.runtimes]\ncorten = [\"/b/corten\"]", Some("corten = [\"/b/corten\"]")),
        ];
        for (read, text, expected) in cases {
            assert_eq!(read(text).unwrap().as_deref(), expected, "{text}");
        }
        assert!(docker("{").is_err());
    }
}
