//! Data-driven tests of the whole way from text to meaning: a change to the example configuration, and what comes of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use serde_json::{Value, json};

/// The example configuration with `changes`: JSON pointers and values; `null` removes, `/-` at the end appends.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut config = serde_json::to_value(example(None, false)).unwrap();
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let mut target = &mut config;
        for step in parent.split('/').skip(1) {
            target = match target {
                Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
                target => &mut target[step],
            };
        }
        match target {
            Value::Array(items) if last == "-" => items.push(value.clone()),
            Value::Array(items) => items[last.parse::<usize>().unwrap()] = value.clone(),
            Value::Object(members) if value.is_null() => drop(members.remove(last).expect("something to remove")),
            target => target[last] = value.clone(),
        }
    }
    config
}

fn text(config: &Value) -> Vec<u8> {
    serde_json::to_vec(config).unwrap()
}

/// `parse` gives the first of `expected`, `faults` all of them; none means that it is accepted.
#[track_caller]
fn check(changes: &[(&str, Value)], expected: &[&str]) {
    let text = text(&changed(changes));
    let all: Vec<String> = faults(&text).iter().map(Error::to_string).collect();
    assert_eq!(all, expected, "{changes:?}");
    let first = parse(&text).err().map(|error| error.to_string());
    assert_eq!(first.as_deref(), expected.first().copied(), "{changes:?}");
}

#[track_caller]
fn valid(changes: &[(&str, Value)]) -> ValidSpec {
    parse(&text(&changed(changes))).unwrap()
}

/// `linux.namespaces` of these types.
fn kinds(types: &[&str]) -> Value {
    types.iter().map(|kind| json!({ "type": kind })).collect()
}

const ALL: [&str; 5] = ["pid", "network", "ipc", "uts", "mount"];

#[test]
fn the_example_is_what_runc_writes() {
    for (written, example) in [
        (include_str!("../../tests/fixtures/runc-spec/root.json"), example(None, false)),
        (include_str!("../../tests/fixtures/runc-spec/root-unified.json"), example(None, true)),
        (include_str!("../../tests/fixtures/runc-spec/rootless.json"), example(Some((0, 0)), false)),
        (include_str!("../../tests/fixtures/runc-spec/rootless-unified.json"), example(Some((0, 0)), true)),
    ] {
        // runc's order is not checked: the sets of capabilities have none here.
        let sorted = |mut spec: Value| {
            for set in spec["process"]["capabilities"].as_object_mut().unwrap().values_mut() {
                set.as_array_mut().unwrap().sort_by_key(|name| name.as_str().unwrap().to_owned());
            }
            spec
        };
        let written = sorted(serde_json::from_str(written).unwrap());
        assert_eq!(sorted(serde_json::to_value(&example).unwrap()), written);
        validate(example).unwrap();
    }
    let mapped = validate(example(Some((1000, 100)), false)).unwrap();
    assert_eq!(mapped.uid_mappings, [IdMap { inside: 0, outside: 1000, size: 1 }]);
    assert_eq!(mapped.gid_mappings, [IdMap { inside: 0, outside: 100, size: 1 }]);
}
