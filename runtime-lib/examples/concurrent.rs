//! Many containers at once, from async code: what blocks goes to `spawn_blocking`.
//!
//! `cargo run --example concurrent -- BUNDLE COUNT`, as root, runs the bundle so many times. With tokio's feature `net`, an
//! `AsyncFd` on `Container::pidfd` awaits the end without a thread that waits.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program, not a library")]

use libcorten::{Bundle, Container, ExitStatus, Force, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::{JoinError, spawn_blocking};

/// Runs the bundle in a container `id` to its end, or until it is out of time.
pub(crate) async fn run(
    bundle: Bundle,
    id: String,
    state_root: PathBuf,
    limit: Duration,
) -> std::result::Result<Result<ExitStatus>, JoinError> {
    spawn_blocking(move || {
        let mut container = Container::builder(&id)?.state_root(state_root).loaded_bundle(bundle).run()?;
        let exit = match container.wait_timeout(limit)? {
            Some(exit) => exit,
            None => {
                container.kill(9)?;
                container.wait()?
            }
        };
        container.delete(Force::No)?;
        Ok(exit)
    })
    .await
}

#[allow(dead_code, reason = "a test uses this file as a module")]
fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let bundle = args.next().ok_or("usage: concurrent BUNDLE COUNT")?;
    let count: usize = args.next().unwrap_or_default().parse()?;
    let bundle = Bundle::open(Path::new(&bundle))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    runtime.block_on(async {
        let start = |number: usize| {
            let id = format!("concurrent-{}-{number}", std::process::id());
            tokio::spawn(run(bundle.clone(), id, libcorten::default_state_root(), Duration::from_secs(60)))
        };
        let tasks: Vec<_> = (0..count).map(start).collect();
        for task in tasks {
            println!("{}", task.await???);
        }
        Ok(())
    })
}
