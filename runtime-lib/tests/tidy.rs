//! What a reviewer would otherwise have to watch: the direction of imports, names, budgets, where unsafe code is, and
//! what is in the init. The rules are those of docs/ARCHITECTURE.md. Each check is a function over a path and a text, and
//! is shown a text that breaks its rule as well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A source file: its path in the workspace, and its text.
struct Source {
    path: String,
    text: String,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file that is ours.
fn sources() -> Vec<Source> {
    let root = workspace();
    let mut found = Vec::new();
    let members = ["runtime-lib", "runtime-cli", "integration", "benches", "fuzz"];
    let mut directories: Vec<_> = members.iter().map(|member| root.join(member)).filter(|dir| dir.is_dir()).collect();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path: relative, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(found.len() > 50, "{} files", found.len());
    found
}

fn assert_all(check: impl Fn(&Source) -> Vec<String>) {
    let faults: Vec<String> = sources().iter().flat_map(check).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The faults that a check finds in a sample.
fn faults(check: impl Fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
    check(&Source { path: path.to_owned(), text: text.to_owned() }).len()
}

const TRIALS: &str = "trials";

/// What the modules of the library may use of each other: imports point one way.
const IMPORTS: [(&str, &[&str]); 19] = [
    ("error", &[]),
    ("id", &["error"]),
    ("sys", &["error"]),
    ("spec", &["error"]),
    ("seccomp", &["error", "spec"]),
    ("host", &["error", "sys"]),
    ("bundle", &["error", "spec"]),
    ("plan", &["error", "id", "bundle", "spec", "host", "seccomp"]),
    ("observe", &[]),
    // For tests, in which everybody may use it.
    (TRIALS, &[]),
    ("resctrl", &["error", "host", "plan"]),
    ("cgroup", &["error", "id", "spec", "host", "plan", "resctrl", "sys"]),
    ("store", &["error", "id", "bundle", "spec", "host", "plan", "cgroup", "resctrl", "sys"]),
    ("launch", &["error", "id", "bundle", "spec", "host", "seccomp", "plan", "cgroup", "resctrl", "observe", "sys"]),
    ("console", &["error", "sys"]),
    ("features", &["error", "id", "bundle", "spec", "host", "seccomp", "plan", "sys"]),
    // Not in the library that others use: it calls whatever reads bytes from outside.
    (
        "fuzzing",
        &["error", "id", "bundle", "spec", "host", "seccomp", "plan", "store", "launch", "console", "sys", "cgroup"],
    ),
    ("check", &["error", "id", "bundle", "spec", "host", "seccomp", "plan", "cgroup", "launch", "sys"]),
    (
        "container",
        &[
            "error", "id", "bundle", "spec", "host", "seccomp", "plan", "cgroup", "resctrl", "store", "launch",
            "check", "console", "observe", "sys",
        ],
    ),
];

/// Whose names `lib.rs` exports at the root.
const EXPORTS: [(&str, &str); 17] = [
    ("Bundle", "bundle"),
    ("Container", "container"),
    ("ContainerBuilder", "container"),
    ("ContainerId", "id"),
    ("Error", "error"),
    ("ErrorKind", "error"),
    ("ExitStatus", "container"),
    ("Force", "container"),
    ("Observer", "observe"),
    ("Plan", "plan"),
    ("Result", "error"),
    ("State", "store"),
    ("Status", "store"),
    ("default_state_root", "store"),
    ("errno_in_words", "error"),
    ("next_zombie", "sys"),
    ("obstacles", "check"),
];

/// These compute and do nothing: what they know of the machine is given to them.
const PURE: [&str; 3] = ["spec", "plan", "seccomp"];
const EFFECTS: [&str; 8] =
    ["std::fs", "std::process", "std::net", "std::env", "std::thread", "nix::", "std::os::fd", "std::time"];
/// A file of a pure module that uses a module with effects: libseccomp gives its program to a descriptor only.
const EXCEPTIONS: [(&str, &str); 1] = [("runtime-lib/src/seccomp/libseccomp.rs", "sys")];
/// Constants below these: they look at nothing.
const CONSTANTS: [&str; 2] = ["std::env::consts", "nix::errno"];

/// The module of the library that a file belongs to, and how many names deep the file's own module is.
fn module(path: &str) -> Option<(&str, usize)> {
    let inside = path.strip_prefix("runtime-lib/src/")?.strip_suffix(".rs")?;
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    let module = inside.split('/').next()?;
    (module != "lib").then(|| (module, inside.split('/').count()))
}

/// The first names of the paths that begin at the crate's root: `crate::NAME`, `crate::{NAME, NAME::…}`, and `super::`
/// as often as leads there.
fn names_from_root(text: &str, depth: usize) -> Vec<String> {
    let mut names = Vec::new();
    let up = "super::".repeat(depth);
    for (place, start) in text.match_indices("crate::").chain(text.match_indices(&up)) {
        let climbs = start != "crate::";
        if text[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &text[place + start.len()..];
        let first: Vec<String> = match rest.strip_prefix('{') {
            Some(group) => group_names(group),
            None => vec![identifier(rest)],
        };
        // An inline module has one more level, so what climbs so far may end one below: only modules count there.
        names.extend(first.into_iter().filter(|name| !climbs || is_module(name)));
    }
    names
}

fn is_module(name: &str) -> bool {
    IMPORTS.iter().any(|(module, _)| *module == name)
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first names in `a::{b, c}, D}`.
fn group_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut current) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut current)),
            c if depth == 0 => current.push(c),
            _ => {}
        }
    }
    names.push(current);
    names.iter().map(|name| identifier(name.trim())).filter(|name| !name.is_empty()).collect()
}

fn imports(source: &Source) -> Vec<String> {
    let Some((module, depth)) = module(&source.path) else { return Vec::new() };
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: {module} is not in the table of imports", source.path)];
    };
    let mut faults = Vec::new();
    let code = without_comments_and_text(&source.text);
    // A comment may send the reader to the public face of the library, but a module that it speaks of is a dependency
    // in the reader's mind.
    let of_comments = names_from_root(&source.text, depth).into_iter().filter(|name| is_module(name));
    for name in names_from_root(&code, depth).into_iter().chain(of_comments).collect::<BTreeSet<_>>() {
        let used = EXPORTS.iter().find(|(export, _)| *export == name).map_or(name.as_str(), |(_, module)| module);
        let excepted = EXCEPTIONS.contains(&(source.path.as_str(), used));
        if used != module && !allowed.contains(&used) && !excepted && used != TRIALS {
            faults.push(format!("{}: {module} uses {used}", source.path));
        }
    }
    if PURE.contains(&module) && !source.path.contains("/tests") {
        faults.extend(effects(&code).into_iter().map(|effect| format!("{}: {module} uses {effect}", source.path)));
    }
    faults
}

/// What a pure module must not use, as found in its code.
fn effects(code: &str) -> Vec<String> {
    let code = CONSTANTS.iter().fold(code.to_owned(), |code, constant| code.replace(constant, ""));
    let mut found: Vec<_> = EFFECTS.iter().filter(|effect| code.contains(*effect)).map(|&e| e.to_owned()).collect();
    let calls = code.match_indices("libc::").map(|(place, _)| &code[place + "libc::".len()..]);
    let calls = calls.filter(|rest| rest.strip_prefix(&identifier(rest)).is_some_and(|rest| rest.starts_with('(')));
    found.extend(calls.map(|rest| format!("libc::{}()", identifier(rest))));
    found
}

#[test]
fn imports_point_one_way() {
    assert_all(imports);
    let of_plan = |text| faults(imports, "runtime-lib/src/plan/mounts.rs", text);
    assert_eq!(
        of_plan("use crate::error::Error;\nuse crate::{Bundle, ContainerId};\nuse crate::spec::{self, Hook};"),
        0
    );
    assert_eq!(of_plan("use crate::launch::wire;"), 1);
    assert_eq!(of_plan("use crate::{spec::{Mount, Hook}, sys::clone, Container};"), 2);
    assert_eq!(of_plan("use super::super::store;"), 1);
    assert_eq!(of_plan("//! See [`Phase`](crate::launch)."), 1);
    assert_eq!(of_plan("/// See [`create`](crate::ContainerBuilder::create)."), 0);
    assert_eq!(of_plan("let text = std::fs::read(path);"), 1);
    assert_eq!(of_plan("let flags = libc::MS_BIND;"), 0);
    assert_eq!(of_plan("let pid = libc::getpid();"), 1);
    assert_eq!(of_plan("nix::errno::Errno::from_raw(1); nix::unistd::getpid();"), 1);
    assert_eq!(faults(imports, "runtime-lib/src/spec/mod.rs", "use crate::plan::Plan; use super::host;"), 2);
    assert_eq!(faults(imports, "runtime-lib/src/store/mod.rs", "use crate::launch::Launch;"), 1);
    assert_eq!(faults(imports, "runtime-lib/src/sys/clone.rs", "use crate::plan::Plan;"), 1);
    assert_eq!(faults(imports, "runtime-lib/src/launch/mod.rs", "use crate::{Container, plan};"), 1);
    assert_eq!(faults(imports, "runtime-lib/src/newcomer.rs", ""), 1);
    assert_eq!(faults(imports, "runtime-lib/src/seccomp/libseccomp.rs", "use crate::sys::memfd;"), 0);
    assert_eq!(faults(imports, "runtime-lib/src/seccomp/libseccomp.rs", "use crate::launch::Launch;"), 1);
    assert_eq!(faults(imports, "runtime-lib/src/seccomp/emit.rs", "use crate::sys::memfd;"), 1);
}

/// The command line sees the library's public face only, and the init nothing of the library.
fn crates(source: &Source) -> Vec<String> {
    let forbidden: &[&str] = match source.path.split_once('/') {
        Some(("runtime-lib", rest)) if rest.starts_with("init/") => &["std::", "alloc::", "libcorten", "libc::"],
        Some(("runtime-lib", rest)) if rest.starts_with("src/") => &["corten_integration", "clap::"],
        Some(("runtime-cli", _)) => &["#[path"],
        Some(("integration", _)) => &["libcorten::"],
        _ => &[],
    };
    let code = without_comments_and_text(&source.text);
    // The wire format's own tests run in the library.
    let tests = source.path.ends_with("/tests.rs");
    let used = forbidden.iter().filter(|name| !tests && code.contains(*name));
    used.map(|name| format!("{}: uses {name}", source.path)).collect()
}

#[test]
fn crates_keep_to_themselves() {
    assert_all(crates);
    assert_eq!(faults(crates, "runtime-lib/init/main.rs", "use std::fs;"), 1);
    assert_eq!(faults(crates, "integration/src/lib.rs", "use libcorten::Bundle;"), 1);
    assert_eq!(faults(crates, "runtime-cli/src/main.rs", "#[path = \"../../runtime-lib/src/id.rs\"] mod id;"), 1);
    assert_eq!(faults(crates, "runtime-lib/init/main.rs", "// std::fs is not here\nuse core::ffi::CStr;"), 0);
}

/// A module is named after its concept.
const NAMELESS: [&str; 9] = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "impl", "impls"];

fn names(source: &Source) -> Vec<String> {
    let path = source.path.trim_end_matches(".rs").split('/');
    let declared = source.text.lines().filter_map(|line| {
        let line = line.trim_start();
        let declaration = line.strip_prefix("mod ").or_else(|| line.strip_prefix("pub mod "));
        declaration.or_else(|| line.strip_prefix("pub(crate) mod ")).map(|rest| rest.trim_end_matches([';', '{', ' ']))
    });
    let nameless = path.chain(declared).filter(|name| NAMELESS.contains(name));
    nameless.map(|name| format!("{}: a module named {name}", source.path)).collect()
}

#[test]
fn modules_are_named_after_their_concept() {
    assert_all(names);
    assert_eq!(faults(names, "runtime-lib/src/utils.rs", ""), 1);
    assert_eq!(faults(names, "runtime-lib/src/misc/paths.rs", "pub(crate) mod helpers;\nmod common {"), 3);
    assert_eq!(faults(names, "runtime-lib/src/paths.rs", "let manager = 1;"), 0);
}

/// A file's lines. Catalogues are as long as what they list.
const MOST_LINES: usize = 700;
const CATALOGUES: [&str; 1] = ["runtime-lib/src/seccomp/tables/"];

fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let catalogue = CATALOGUES.iter().any(|catalogue| source.path.starts_with(catalogue));
    if lines <= MOST_LINES || catalogue {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, more than {MOST_LINES}: usually two ideas", source.path)]
}

#[test]
fn files_keep_to_their_budget() {
    assert_all(length);
    let long = "line\n".repeat(MOST_LINES + 1);
    assert_eq!(faults(length, "runtime-lib/src/container.rs", &long), 1);
    assert_eq!(faults(length, "runtime-lib/src/container.rs", &long[5..]), 0);
    assert_eq!(faults(length, "runtime-lib/src/seccomp/tables/numbers.rs", &long), 0);
}

#[test]
fn functions_keep_to_their_budget() {
    let read = |file: &str| std::fs::read_to_string(workspace().join(file)).unwrap();
    assert!(read("clippy.toml").contains("too-many-lines-threshold = 60\n"));
    assert!(read("Cargo.toml").contains("\ntoo_many_lines = \"warn\"\n"), "CI runs clippy with warnings as errors");
    for member in ["runtime-lib", "runtime-cli", "integration", "benches"] {
        let manifest = read(&format!("{member}/Cargo.toml"));
        // The tests have a list of their own, in which panics are allowed.
        let applies = ["[lints]\nworkspace = true", "\ntoo_many_lines = \"warn\"\n"];
        assert!(applies.iter().any(|lint| manifest.contains(lint)), "{member}");
    }
}

/// Where unsafe code may be.
fn may_be_unsafe(path: &str) -> bool {
    const INIT: [&str; 4] = ["arch", "sys", "main", "program"];
    let init = path.strip_prefix("runtime-lib/init/").and_then(|file| file.strip_suffix(".rs"));
    let shipped = path.starts_with("runtime-lib/src/") || path.starts_with("runtime-lib/init/");
    let shipped = shipped || path.starts_with("runtime-cli/");
    !shipped || path.starts_with("runtime-lib/src/sys/") || init.is_some_and(|file| INIT.contains(&file))
}

/// The text with comments and the contents of string literals blanked; lines keep their numbers.
fn without_comments_and_text(text: &str) -> String {
    let mut code = String::new();
    let mut in_text = false;
    for line in text.lines() {
        let mut previous = ' ';
        let mut chars = line.char_indices().peekable();
        while let Some((place, c)) = chars.next() {
            match c {
                '\\' if in_text => drop(chars.next()),
                // A quote as a character literal opens nothing.
                '"' if in_text || !(previous == '\'' && line[place + 1..].starts_with('\'')) => in_text = !in_text,
                '/' if !in_text && line[place..].starts_with("//") => break,
                c if !in_text => code.push(c),
                _ => {}
            }
            previous = c;
        }
        code.push('\n');
    }
    code
}

/// Unsafe code is where it may be, and each block says why it is sound.
fn unsafety(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let code = without_comments_and_text(&source.text);
    let mut faults = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if !words.any(|word| word == "unsafe") {
            continue;
        }
        let place = format!("{}:{}", source.path, number + 1);
        if !may_be_unsafe(&source.path) {
            faults.push(format!("{place}: unsafe code"));
        }
        let declares = ["unsafe fn", "unsafe extern \"C\" fn"].iter().any(|start| lines[number].contains(start));
        let word = if declares { "# Safety" } else { "SAFETY:" };
        // The comment stands above the statement, which may have begun some lines before.
        let above = lines[..number].iter().rev().take(10).take_while(|line| !line.trim().is_empty());
        let exempt = line.contains("unsafe extern") || line.contains("unsafe(");
        if !exempt && !above.chain([&lines[number]]).any(|line| line.contains(word)) {
            faults.push(format!("{place}: unsafe code without a {word} comment"));
        }
    }
    faults
}

#[test]
fn unsafe_code_is_in_its_places_and_says_why_it_is_sound() {
    assert_all(unsafety);
    let good = "// SAFETY: takes nothing.\nlet pid = unsafe { libc::getpid() };\n";
    assert_eq!(faults(unsafety, "runtime-lib/src/sys/kill.rs", good), 0);
    assert_eq!(faults(unsafety, "runtime-lib/src/sys/kill.rs", &good[good.find('\n').unwrap()..]), 1);
    assert_eq!(faults(unsafety, "runtime-lib/src/container.rs", good), 1);
    assert_eq!(faults(unsafety, "runtime-lib/init/mounts.rs", good), 1);
    assert_eq!(faults(unsafety, "runtime-lib/init/sys.rs", "unsafe fn raw() {}\n"), 1);
    assert_eq!(faults(unsafety, "runtime-lib/init/sys.rs", "/// # Safety\n/// None.\nunsafe fn raw() {}\n"), 0);
    assert_eq!(faults(unsafety, "runtime-cli/src/main.rs", "// no unsafe { here }\nlet text = \"unsafe {\";\n"), 0);
}

/// The program that runs inside containers, as it is embedded.
static INIT: &[u8] = include_bytes!(env!("CORTEN_INIT"));

/// What `elf(5)` calls it.
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

fn init(program: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(text);
    if program.len() > 64 << 10 {
        fault(format!("{} bytes, more than 64 KiB", program.len()));
    }
    let number = |at: usize, bytes: usize| {
        program.get(at..at + bytes).map_or(0, |part| part.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    };
    if !program.starts_with(b"\x7fELF\x02\x01") {
        fault("not a 64-bit little-endian ELF file".to_owned());
    }
    let (start, size, count) = (number(32, 8) as usize, number(54, 2) as usize, number(56, 2) as usize);
    if count == 0 {
        fault("no program headers".to_owned());
    }
    for header in (0..count).map(|place| start + place * size) {
        let (kind, flags) = (number(header, 4) as u32, number(header + 4, 4) as u32);
        match kind {
            PT_INTERP | PT_DYNAMIC => fault(format!("not static: a program header of type {kind}")),
            PT_GNU_STACK if flags & PF_X != 0 => fault("an executable stack".to_owned()),
            _ if flags & PF_X != 0 && flags & PF_W != 0 => fault("a segment to write and to execute".to_owned()),
            _ => {}
        }
    }
    for word in ["panicked at", "core::panicking", "index out of bounds", "called `Option::unwrap()`"] {
        if program.windows(word.len()).any(|part| part == word.as_bytes()) {
            fault(format!("it can panic: {word:?}"));
        }
    }
    faults
}

#[test]
fn the_init_is_small_static_and_cannot_panic() {
    assert_eq!(init(INIT), Vec::<String>::new());
    let count = |program: &[u8]| init(program).len();
    assert_eq!(count(&[INIT, &vec![0; 64 << 10]].concat()), 1);
    assert_eq!(count(&[INIT, b"panicked at"].concat()), 1);
    assert_eq!(count(b"#!/bin/sh\n"), 2);
    let headers = u64::from_le_bytes(INIT[32..40].try_into().unwrap()) as usize;
    let with = |at: usize, byte: u8| [&INIT[..at], &[byte], &INIT[at + 1..]].concat();
    assert_eq!(count(&with(headers, PT_INTERP as u8)), 1);
    assert_eq!(count(&with(headers + 4, 7)), 1);
}
