//! What docs/SECURITY.md says of the defences against what there is: every class of flaws has tests of the names that it gives, and a
//! patch in `integration/weakened` that takes its defence out, which still fits and names tests that are there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_default()
}

/// The text of a file, or of all files of a directory, that the document names as its readers would.
fn text_of(name: &str) -> String {
    let candidates = ["integration/tests", "runtime-lib/src", "."].map(|base| workspace().join(base).join(name));
    let path = candidates.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("there is no {name}"));
    if path.is_file() {
        return std::fs::read_to_string(path).unwrap();
    }
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Whether there is a function of that name with `#[test]` among its attributes.
fn has_test(text: &str, name: &str) -> bool {
    let function = format!("fn {name}() {{");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let place = lines.iter().position(|line| *line == function);
    place.is_some_and(|at| {
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(|line| *line == "#[test]")
    })
}

/// What the column of tests names and what there is not: `file.rs`: `name`, `name`; "the fuzz target `name`".
fn missing_tests(column: &str) -> Vec<String> {
    let (mut text, mut missing) = (String::new(), Vec::new());
    let mut words = column.split('`');
    while let (Some(before), Some(word)) = (words.next(), words.next()) {
        if before.ends_with("fuzz target ") {
            let target = workspace().join(format!("fuzz/fuzz_targets/{word}.rs"));
            missing.extend((!target.exists()).then(|| word.to_owned()));
        } else if word.contains(['.', '/']) {
            text = text_of(word);
        } else if !has_test(&text, word) {
            missing.push(word.to_owned());
        }
    }
    missing
}

#[test]
fn every_class_has_the_tests_that_the_document_names() {
    let document = read("docs/SECURITY.md");
    let rows = document.lines().filter_map(|line| {
        let columns: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let class: u32 = columns[0].parse().ok()?;
        Some((class, (*columns.get(3)?).to_owned()))
    });
    let rows: Vec<_> = rows.filter(|(_, tests)| tests.contains(".rs`")).collect();
    assert_eq!(rows.iter().map(|(class, _)| *class).collect::<Vec<_>>(), (1..=19).collect::<Vec<_>>());
    let missing: Vec<_> = rows
        .iter()
        .flat_map(|(class, tests)| missing_tests(tests).into_iter().map(move |name| (class, name)))
        .collect();
    assert!(missing.is_empty(), "named by docs/SECURITY.md, but not there: {missing:?}");
    let shown = "`escapes.rs`: `no_such_test`; `id.rs`: `nor_this`; the fuzz target `nor_that`";
    assert_eq!(missing_tests(shown), ["no_such_test", "nor_this", "nor_that"]);
}

/// The tests that a patch names and that are not there.
fn unknown_tests(patch: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    for line in patch.lines().take_while(|line| !line.is_empty()) {
        let Some((kind, names)) = line.split_once(": ") else { continue };
        let mut names = names.split_whitespace();
        let text = match kind {
            "Tests" | "Machine" => read(&format!("integration/tests/{}.rs", names.next().unwrap())),
            "Library" => match names.next().unwrap().strip_prefix("--test=") {
                Some(file) => read(&format!("runtime-lib/tests/{file}.rs")),
                // A unit test is named by its modules: `plan::cgroup::tests::NAME` is in plan/cgroup.rs or in a file below it.
                None => {
                    unknown.extend(names.filter(|path| !is_unit_test(path)).map(str::to_owned));
                    continue;
                }
            },
            _ => continue,
        };
        unknown.extend(names.filter(|name| !has_test(&text, name)).map(str::to_owned));
    }
    unknown
}

fn is_unit_test(path: &str) -> bool {
    let (modules, name) = path.rsplit_once("::").unwrap();
    let file = modules.replace("::", "/");
    let inside = file.strip_suffix("/tests").unwrap_or(&file);
    let files = [format!("{file}.rs"), format!("{file}/mod.rs"), format!("{inside}.rs"), format!("{inside}/mod.rs")];
    files.iter().any(|file| has_test(&read(&format!("runtime-lib/src/{file}")), name))
}

/// Lines that a patch takes away and that its file no longer has.
fn missing_lines(patch: &str) -> impl Iterator<Item = String> {
    let mut file = String::new();
    let mut missing = Vec::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("--- a/") {
            file = read(name);
        } else if let Some(gone) = line.strip_prefix('-').filter(|_| !line.starts_with("--- ")) {
            missing.extend((!file.lines().any(|here| here == gone)).then(|| gone.to_owned()));
        }
    }
    missing.into_iter()
}

#[test]
fn every_class_has_a_build_without_its_defence() {
    let document = read("docs/SECURITY.md");
    let (mut classes, mut faults) = (BTreeSet::new(), Vec::new());
    for entry in std::fs::read_dir(workspace().join("integration/weakened")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap().split(':').next().unwrap();
        let numbers = first.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
        match first.split(' ').next() {
            Some("Class") => classes.extend(numbers),
            Some("Invariant") if numbers.count() == 1 => {}
            _ => faults.push(format!("{name}: the first line names the class, or the invariant of docs/SECURITY.md")),
        }
        if !["\nTests: ", "\nLibrary: ", "\nMachine: "].iter().any(|word| text.contains(word)) {
            faults.push(format!("{name}: which tests?"));
        }
        if !document.contains(&format!("`{name}`")) {
            faults.push(format!("{name}: not in docs/SECURITY.md"));
        }
        faults.extend(unknown_tests(&text).into_iter().map(|test| format!("{name}: there is no test {test}")));
        faults
            .extend(missing_lines(&text).map(|line| format!("{name} no longer applies; the defence moved: {line:?}")));
    }
    assert_eq!(classes, (1..=19).collect(), "classes of integration/weakened");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(missing_lines("--- a/Cargo.toml\n-no such line\n-[workspace]\n").count(), 1);
    let shown = "Class 1: x\nTests: escapes no_such_test\nLibrary: --lib id::tests::nor_this\nLibrary: --test=embed nor_that\n\n";
    assert_eq!(unknown_tests(shown), ["no_such_test", "id::tests::nor_this", "nor_that"]);
}
