//! Builds the init.
fn main() {}
