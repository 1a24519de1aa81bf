//! Black-box tests: the harness.
