//! docs/SPEC.md is whole and true: it has a row for every element of the specification's schemas and for nothing else, every test that
//! a row names exists, and what a row says of runc and crun agrees with the list of differences of the black-box tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn schema(file: &str) -> Value {
    let path = workspace().join("runtime-lib/tests/spec-samples/schema").join(file);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
}

/// Other platforms' sections of `config.json`.
const ELSEWHERE: [&str; 5] = ["solaris", "windows", "vm", "zos", "freebsd"];

/// The elements below a schema, such as `mounts[].options` and `linux.netDevices.*.name`.
fn elements(value: &Value, file: &str, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = value["$ref"].as_str() {
        let (other, pointer) = reference.split_once('#').unwrap();
        let file = if other.is_empty() { file } else { other };
        return elements(schema(file).pointer(pointer).unwrap(), file, at, found);
    }
    for (name, member) in value["properties"].as_object().into_iter().flatten() {
        if at.is_empty() && ELSEWHERE.contains(&name.as_str()) {
            continue;
        }
        let place = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        found.push(place.clone());
        elements(member, file, &place, found);
    }
    if value["items"].is_object() {
        elements(&value["items"], file, &format!("{at}[]"), found);
    }
    let named = value["patternProperties"].as_object().into_iter().flatten().map(|(_, member)| member);
    let others = Some(&value["additionalProperties"]).filter(|members| members.is_object());
    for member in named.chain(others) {
        elements(member, file, &format!("{at}.*"), found);
    }
    for alternative in ["allOf", "anyOf", "oneOf"].iter().flat_map(|name| value[*name].as_array().into_iter().flatten())
    {
        elements(alternative, file, at, found);
    }
}

struct Row {
    element: String,
    status: String,
    test: String,
    runc: String,
    crun: String,
}

/// The rows below a heading of docs/SPEC.md.
fn rows(heading: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(workspace().join("docs/SPEC.md")).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [element, _, status, test, runc, crun] = cells[..] else { panic!("{line}") };
        let element = element.trim_matches('`').to_owned();
        Row { element, status: status.into(), test: test.into(), runc: runc.into(), crun: crun.into() }
    };
    lines.map(row).collect()
}

const TABLES: [(&str, &str); 3] = [
    ("config.json", "config-schema.json"),
    ("The state", "state-schema.json"),
    ("The features document", "features-schema.json"),
];

#[test]
fn every_element_has_its_row() {
    for (heading, file) in TABLES {
        let mut expected = Vec::new();
        elements(&json!({"$ref": format!("{file}#")}), "", "", &mut expected);
        let found: Vec<String> = rows(heading).into_iter().map(|row| row.element).collect();
        for element in &expected {
            assert!(found.contains(element), "{heading}: no row for {element}");
        }
        for element in &found {
            assert!(expected.contains(element), "{heading}: {element} is not in {file}");
        }
        assert_eq!(found.len(), expected.len(), "{heading}: a row is there twice");
    }
}

/// The texts in backticks that are names of tests.
fn tests(row: &Row) -> Vec<&str> {
    row.test.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect()
}

/// The source of `file::test`, wherever it is.
fn source(test: &str) -> String {
    let (module, _) = test.rsplit_once("::").unwrap();
    let path = module.replace("::", "/");
    let places = [
        format!("integration/tests/{path}.rs"),
        format!("integration/tests/{path}/main.rs"),
        format!("runtime-lib/tests/{path}.rs"),
        format!("runtime-lib/src/{path}.rs"),
        format!("runtime-lib/src/{path}/mod.rs"),
    ];
    let found = places.iter().find_map(|place| std::fs::read_to_string(workspace().join(place)).ok());
    found.unwrap_or_else(|| panic!("{test}: none of {places:?} exists"))
}

#[test]
fn every_row_ends_with_tests_that_exist() {
    for (heading, _) in TABLES {
        for row in rows(heading) {
            let tests = tests(&row);
            assert!(!tests.is_empty(), "{}: no test", row.element);
            assert!(!row.status.is_empty(), "{}: no status", row.element);
            for test in tests {
                let name = test.rsplit("::").next().unwrap();
                let declared = source(test).replace("async fn", "fn").contains(&format!("#[test]\nfn {name}("));
                assert!(declared, "{}: {test} is not there", row.element);
            }
        }
    }
}

/// The tests that are left out as a whole for a runtime, by `integration/src/differences.rs`.
fn left_out(runtime: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("integration/src/differences.rs")).unwrap();
    // An entry may stand on one line or on several.
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
    text.split(&format!("({runtime}, \"")).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn the_other_runtimes_are_as_the_differences_say() {
    let left_out = [left_out("Runc"), left_out("Crun")];
    assert!(left_out.iter().all(|list| list.len() > 5));
    for (heading, _) in TABLES {
        for row in rows(heading) {
            for ((name, said), left_out) in [("runc", &row.runc), ("crun", &row.crun)].into_iter().zip(&left_out) {
                let tests = tests(&row);
                let out = |test: &&&str| left_out.iter().any(|key| test.ends_with(&format!("::{key}")));
                let out = tests.iter().filter(out).count();
                let agrees = match said.split_once(" (") {
                    // A point within a test.
                    Some(("no" | "in part", key)) => left_out.contains(&key.trim_end_matches(')').to_owned()),
                    _ => match said.as_str() {
                        "yes" => out == 0,
                        "no" => out == tests.len(),
                        "in part" => out > 0 && out < tests.len(),
                        other => other == "-",
                    },
                };
                assert!(agrees, "{}: {name}: {said}, but {out} of {tests:?} are left out", row.element);
            }
        }
    }
}

/// `process.commandLine` and `process.user.username` are of the schema's common part but mean something on Windows only.
#[test]
fn elements_for_windows_are_ignored() {
    let config = json!({
        "ociVersion": "1.3.0", "root": {"path": "r"}, "linux": {"namespaces": [{"type": "mount"}]},
        "process": {"cwd": "/", "args": ["a"], "commandLine": "cmd /c ver", "user": {"uid": 1, "gid": 2, "username": "ContainerUser"}},
    });
    let spec = libcorten::spec::parse(&serde_json::to_vec(&config).unwrap()).unwrap();
    assert_eq!(spec.process.args, ["a"]);
    assert_eq!((spec.process.user.uid, spec.process.user.gid), (1, 2));
}
