//! `corten`, the command.
fn main() {}
