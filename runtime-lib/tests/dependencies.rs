//! docs/DEPENDENCIES.md lists what the program is made of. A crate that comes in without a line there has been looked at
//! by nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn tree(edges: &str, more: &[&str]) -> String {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["tree", "--package", "corten", "--edges", edges, "--offline"]).args(more);
    let output = cargo.current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What cargo resolves for the program along these edges.
fn resolved(edges: &str) -> BTreeSet<String> {
    let text = tree(edges, &["--prefix", "none"]);
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).filter(|name| name != "corten").collect()
}

/// The program's crates, procedural macros and build scripts apart.
const LINKED: &str = "normal,no-proc-macro";

/// The first column of the tables below a heading.
fn listed(document: &str, heading: &str) -> BTreeSet<String> {
    let section = document.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.split(' ').next()).filter(|name| *name != "crate").map(str::to_owned).collect()
}

#[test]
fn the_document_lists_what_cargo_resolves() {
    let document = std::fs::read_to_string(workspace().join("docs/DEPENDENCIES.md")).unwrap();
    let linked = listed(&document, "Linked into the program");
    let unused = listed(&document, "Resolved but not linked");
    assert!(linked.is_disjoint(&unused));
    let documented: BTreeSet<String> = linked.union(&unused).cloned().collect();
    assert_eq!(documented, resolved(LINKED));
}

#[test]
fn the_document_has_the_tree_and_what_runs_while_it_is_built() {
    let document = std::fs::read_to_string(workspace().join("docs/DEPENDENCIES.md")).unwrap();
    let shown = document.split("```\n").nth(1).unwrap();
    let actual = tree(LINKED, &["--format", "{lib}", "--charset", "utf8"]);
    let without_root = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(without_root(shown), without_root(&actual));
    let macros = document.split("what they stand on: ").nth(1).unwrap().split(". ").next().unwrap();
    let macros: BTreeSet<String> = macros.split(',').map(|name| name.trim().to_owned()).collect();
    let linked = resolved(LINKED);
    let built: BTreeSet<String> = resolved("normal,build").into_iter().filter(|name| !linked.contains(name)).collect();
    assert_eq!(macros, built);
}
