//! Which engines on this machine are told to call corten.
//!
//! Their files are only searched for what concerns a runtime: TOML is looked at line by line, not parsed.

use super::Finding;
use serde_json::Value;

/// Looks for corten in the text of a file.
type Reader = fn(&str) -> Result<Option<String>, String>;

const AREA: &str = "clients";

pub(super) fn examine() -> Vec<Finding> {
    vec![
        client(
            "docker",
            &["/etc/docker/daemon.json"],
            docker,
            "add {\"runtimes\": {\"corten\": {\"path\": \"/usr/local/bin/corten\"}}} to /etc/docker/daemon.json",
        ),
        client(
            "containerd",
            &["/etc/containerd/config.toml"],
            containerd,
            "set BinaryName = \"/usr/local/bin/corten\" in the options of a runtime of /etc/containerd/config.toml",
        ),
        client(
            "podman",
            &["/etc/containers/containers.conf", "/usr/share/containers/containers.conf"],
            podman,
            "add corten = [\"/usr/local/bin/corten\"] below [engine.runtimes] in /etc/containers/containers.conf",
        ),
    ]
}

/// What a client's files say: none when there is no file, an error when one cannot be understood.
fn client(name: &str, paths: &[&str], read: Reader, fix: &str) -> Finding {
    let mut found = false;
    for path in paths {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        found = true;
        match read(&text) {
            Ok(Some(how)) => return Finding::good(AREA, name, format!("{path}: {how}")),
            Ok(None) => {}
            Err(error) => return Finding::limited(AREA, name, format!("{path}: {error}"), "mend the file"),
        }
    }
    match found {
        true => Finding::limited(AREA, name, format!("{} does not name corten", paths.join(" or ")), fix),
        false => Finding::limited(AREA, name, "not configured here", fix),
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
