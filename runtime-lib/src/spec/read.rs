//! Reads the JSON of `config.json` into the types of the `oci-spec` crate.
//!
//! A good file costs one pass of `serde_json`, which does not say *where* in the document a value of a wrong type stands.
//! Only when it fails, the text is read a second time as a tree. The tree is written out with a line for every value, so
//! that the line that `serde_json` tells of an error gives the place; that is reported in the words of the configuration,
//! and, to find all faults at once, the value is taken out before another try. One instance of the parser's generated
//! code, a large one, serves both ways; it reads `str`, here and everywhere, as its code for `[u8]` would be one more and checks
//! every string for UTF-8 by itself.
//!
//! The second reading is also more lenient, as the Go types are that all engines write with: `null` is as good as an
//! absent element, and the last of repeated elements counts.

use super::document::Document;
use super::fault::Fault;
use super::strict;
use crate::error::Result;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// After this many wrong types the rest of the file is not worth reading.
const MOST_FAULTS: usize = 200;

/// Reads `text`; the first wrong type ends it.
pub(super) fn read(text: &str) -> Result<Document> {
    match strict::from_str(text) {
        Ok(spec) => Ok(spec),
        Err(_) => Ok(attempt(&tree(text)?).map_err(|misread| misread.fault)?),
    }
}

/// Reads what can be read of `text`, along with what cannot; nothing when it is not JSON or too little is left.
pub(super) fn read_all(text: &str) -> (Option<Document>, Misread) {
    let mut misread = Misread::default();
    if let Ok(spec) = strict::from_str(text) {
        return (Some(spec), misread);
    }
    let mut tree = match tree(text) {
        Ok(tree) => tree,
        Err(fault) => {
            misread.add(fault);
            return (None, misread);
        }
    };
    loop {
        match attempt(&tree) {
            Ok(spec) => return (Some(spec), misread),
            Err(failure) => {
                misread.add(failure.fault);
                if misread.found.len() >= MOST_FAULTS || !misread.take_out(&mut tree, &failure.place) {
                    return (None, misread);
                }
            }
        }
    }
}

/// The text, if it is one.
pub(super) fn utf8(text: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(text).map_err(|error| whole(error.to_string()))
}

fn whole(message: impl Into<String>) -> Fault {
    Fault { location: "config.json".to_owned(), message: message.into() }
}

fn tree(text: &str) -> Result<Value, Fault> {
    let mut tree: Value = serde_json::from_str(text).map_err(|error| whole(error.to_string()))?;
    drop_nulls(&mut tree);
    Ok(tree)
}

/// The parser bounds the depth.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A step from a value to one inside of it.
#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Item(usize),
}

/// A value of a wrong type, or a required one that is missing.
struct Failure {
    place: Vec<Step>,
    fault: Fault,
}

fn attempt(tree: &Value) -> Result<Document, Failure> {
    let mut text = Vec::new();
    write_lines(tree, &mut text);
    strict::from_str(&String::from_utf8_lossy(&text)).map_err(|error| failure(tree, &error))
}

fn failure(tree: &Value, error: &serde_json::Error) -> Failure {
    let mut place = Vec::new();
    if !seek(tree, &mut 1, error.line(), &mut place) {
        place.clear();
    }
    let text = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&at).unwrap_or(&text);
    if let Some((_, rest)) = text.split_once("missing field `") {
        place.push(Step::Member(rest.trim_end_matches('`').to_owned()));
    }
    let location = location(&place);
    let message = describe(&location, text, find(tree, &place));
    Failure { place, fault: Fault { location, message } }
}

/// Writes `value` with a line of its own for every scalar, every name and every bracket. The depth is that of a tree that
/// was read, and the parser bounds that.
fn write_lines(value: &Value, text: &mut Vec<u8>) {
    let next = |text: &mut Vec<u8>, index: usize| text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
    match value {
        Value::Object(members) => {
            text.push(b'{');
            for (index, (name, member)) in members.iter().enumerate() {
                next(text, index);
                write_json(name, text);
                text.extend_from_slice(b":\n");
                write_lines(member, text);
            }
            text.extend_from_slice(b"\n}");
        }
        Value::Array(items) => {
            text.push(b'[');
            for (index, item) in items.iter().enumerate() {
                next(text, index);
                write_lines(item, text);
            }
            text.extend_from_slice(b"\n]");
        }
        scalar => write_json(scalar, text),
    }
}

/// Writes a string, a number, a boolean or `null`, which cannot fail.
fn write_json(value: &(impl serde::Serialize + ?Sized), text: &mut Vec<u8>) {
    let _ = serde_json::to_writer(text, value);
}

/// Walks over `value`, which begins at `line`, as [`write_lines`] wrote it; true with its place when a value inside
/// stands at line `target`. Names and closing brackets belong to the whole value.
fn seek(value: &Value, line: &mut usize, target: usize, place: &mut Vec<Step>) -> bool {
    if *line == target {
        return true;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                *line += 1;
                if *line == target {
                    return true;
                }
                *line += 1;
                place.push(Step::Member(name.clone()));
                if seek(member, line, target, place) {
                    return true;
                }
                place.pop();
            }
            *line += 1;
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                *line += 1;
                place.push(Step::Item(index));
                if seek(item, line, target, place) {
                    return true;
                }
                place.pop();
            }
            *line += 1;
        }
        _ => {}
    }
    *line == target
}

fn find<'a>(tree: &'a Value, place: &[Step]) -> Option<&'a Value> {
    place.iter().try_fold(tree, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Item(index) => value.get(index),
    })
}

/// The place in the form of the configuration: `mounts[3].options[1]`, `linux.sysctl["kernel.foo"]`.
fn location(place: &[Step]) -> String {
    let mut text = String::new();
    for step in place {
        // Writing to a string cannot fail.
        let _ = match step {
            Step::Item(index) => write!(text, "[{index}]"),
            Step::Member(name) if !is_plain(name) => write!(text, "[{name:?}]"),
            Step::Member(name) if text.is_empty() => write!(text, "{name}"),
            Step::Member(name) => write!(text, ".{name}"),
        };
    }
    if text.is_empty() { "config.json".to_owned() } else { text }
}

/// Whether `name` needs no quotes.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Says what is wrong in JSON's words instead of those of the Rust types.
fn describe(location: &str, error: &str, value: Option<&Value>) -> String {
    let Some(value) = value else {
        return if error.contains("missing field") { "is missing".to_owned() } else { error.to_owned() };
    };
    if let Value::String(name) = value {
        let shown = shorten(name);
        if error.starts_with("unknown variant") {
            return format!("unknown {} {shown:?}", noun(location));
        }
    }
    let found = match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        value => shorten(&value.to_string()),
    };
    match error.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {}, found {found}", json_type(expected)),
        None => error.to_owned(),
    }
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST { text.to_owned() } else { text.chars().take(LONGEST).chain(['…']).collect() }
}

/// What the word at `location` is one of.
fn noun(location: &str) -> &'static str {
    let is_type_in = |list: &str| location.starts_with(list) && location.ends_with(".type");
    if is_type_in("linux.namespaces[") {
        "namespace type"
    } else if is_type_in("process.rlimits[") {
        "rlimit"
    } else if is_type_in("linux.devices[") || is_type_in("linux.resources.devices[") {
        "device type"
    } else if location.starts_with("linux.seccomp.") {
        match location.rsplit(['.', '[']).next() {
            Some("action" | "defaultAction") => "seccomp action",
            Some("op") => "operator",
            _ if location.starts_with("linux.seccomp.architectures[") => "architecture",
            _ => "flag",
        }
    } else {
        "value"
    }
}

fn json_type(rust: &str) -> String {
    let integer = |least: &str, most: &str| format!("an integer from {least} to {most}");
    match rust {
        "a map" => "an object".to_owned(),
        rust if rust.starts_with("struct ") => "an object".to_owned(),
        "a sequence" => "an array".to_owned(),
        "path string" => "a string".to_owned(),
        rust if rust.starts_with("string or map") || rust.contains("enum ") => "a string".to_owned(),
        "u16" => integer("0", &u16::MAX.to_string()),
        "u32" => integer("0", &u32::MAX.to_string()),
        "u64" | "usize" => integer("0", &u64::MAX.to_string()),
        "i32" => integer(&i32::MIN.to_string(), &i32::MAX.to_string()),
        "i64" => integer(&i64::MIN.to_string(), &i64::MAX.to_string()),
        other => other.to_owned(),
    }
}

/// The faults of reading, and what was taken out of the document to go on: later locations count in the original.
#[derive(Debug, Default)]
pub(super) struct Misread {
    found: Vec<Fault>,
    /// For each array, by its location in the original: the original places of the items taken out.
    taken_out: BTreeMap<String, Vec<usize>>,
}

impl Misread {
    /// Adds the faults that were found in what was left of the document.
    pub(super) fn extend(&mut self, faults: Vec<Fault>) {
        let misread = self.found.len();
        for fault in faults {
            self.add_unless_following(fault, misread);
        }
    }

    /// All faults, with locations in the original document.
    pub(super) fn into_found(self) -> Vec<Fault> {
        self.found
    }

    fn add(&mut self, fault: Fault) {
        self.add_unless_following(fault, self.found.len());
    }

    /// Records a fault, unless it only follows from one of the first `misread`: what was taken out is then missing.
    fn add_unless_following(&mut self, fault: Fault, misread: usize) {
        let location = self.original(&fault.location);
        let follows = |known: &Fault| {
            let rest = location.strip_prefix(known.location.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if !self.found.iter().take(misread).any(follows) {
            self.found.push(Fault { location, message: fault.message });
        }
    }

    /// Takes the value at `place` out of the tree, or the one that lacks it. False when that would be everything.
    fn take_out(&mut self, tree: &mut Value, place: &[Step]) -> bool {
        let Some((last, parents)) = place.split_last() else { return false };
        let Some(parent) = find_mut(tree, parents) else { return false };
        match (last, parent) {
            (Step::Member(name), Value::Object(members)) => {
                if members.remove(name).is_some() {
                    return true;
                }
                // It was missing. A process without it still has much to say.
                if let ([Step::Member(process)], "cwd") = (parents, name.as_str()) {
                    members.insert(name.clone(), Value::from("/"));
                    return process == "process";
                }
                self.take_out(tree, parents)
            }
            (Step::Item(index), Value::Array(items)) if *index < items.len() => {
                items.remove(*index);
                let array = self.original(&location(parents));
                let original = self.original_index(&array, *index);
                let taken = self.taken_out.entry(array).or_default();
                taken.insert(taken.partition_point(|&other| other < original), original);
                true
            }
            _ => self.take_out(tree, parents),
        }
    }

    fn original_index(&self, array: &str, index: usize) -> usize {
        let taken = self.taken_out.get(array).map(Vec::as_slice).unwrap_or_default();
        taken.iter().fold(index, |index, &taken| if taken <= index { index + 1 } else { index })
    }

    /// The location in the original of one in what is left.
    fn original(&self, location: &str) -> String {
        let mut original = String::with_capacity(location.len());
        let mut rest = location;
        while let Some((before, after)) = rest.split_once('[') {
            original.push_str(before);
            let index = after.split_once(']').and_then(|(index, after)| Some((index.parse::<usize>().ok()?, after)));
            match index {
                Some((index, after)) => {
                    let index = self.original_index(&original, index);
                    let _ = write!(original, "[{index}]");
                    rest = after;
                }
                // A quoted name, the last array is before it.
                None => {
                    original.push('[');
                    original.push_str(after);
                    return original;
                }
            }
        }
        original + rest
    }
}

fn find_mut<'a>(tree: &'a mut Value, place: &[Step]) -> Option<&'a mut Value> {
    place.iter().try_fold(tree, |value, step| match step {
        Step::Member(name) => value.get_mut(name),
        Step::Item(index) => value.get_mut(index),
    })
}
