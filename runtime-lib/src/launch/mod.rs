//! The parent half of a start.
