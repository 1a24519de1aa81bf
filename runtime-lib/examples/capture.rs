//! Runs a command in a container, as `std::process::Command` would on the host: its output is captured, and its time limited.
//!
//! `cargo run --example capture -- BUNDLE COMMAND [ARGUMENT…]`, as root.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program, not a library")]

use libcorten::{Bundle, Container, ExitStatus, Force, spec};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::time::Duration;

/// How a command ended, and what it printed.
pub(crate) struct Captured {
    pub(crate) exit: ExitStatus,
    pub(crate) output: String,
    pub(crate) timed_out: bool,
}

/// Runs `args` in a container of the root file system `DIR/rootfs`, for as long as `limit` at most.
pub(crate) fn capture(
    dir: &Path,
    id: &str,
    state_root: &Path,
    args: &[String],
    limit: Duration,
) -> Result<Captured, Box<dyn std::error::Error>> {
    let mut config = spec::example(None, false);
    if let Some(process) = config.process_mut() {
        process.set_terminal(Some(false)).set_args(Some(args.to_vec()));
    }
    let bundle = Bundle::with_spec(dir, config)?;
    for warning in &bundle.spec().warnings {
        eprintln!("warning: {warning}");
    }
    // A file and no pipe: nobody has to read while the command runs, and what it has started and left cannot keep us waiting.
    let mut output: File = tempfile::tempfile()?;
    let builder = Container::builder(id)?.state_root(state_root).loaded_bundle(bundle);
    let builder = builder.stdin(File::open("/dev/null")?).stdout(output.try_clone()?).stderr(output.try_clone()?);
    let mut container = builder.run()?;
    let in_time = container.wait_timeout(limit)?;
    let exit = match in_time {
        Some(exit) => exit,
        None => {
            // The first process of a pid namespace: all others end with it.
            container.kill(9)?;
            container.wait()?
        }
    };
    for error in container.delete(Force::No)? {
        eprintln!("poststop: {error:#}");
    }
    let mut text = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut text)?;
    Ok(Captured { exit, output: String::from_utf8_lossy(&text).into_owned(), timed_out: in_time.is_none() })
}

#[allow(dead_code, reason = "a test uses this file as a module")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let bundle = args.next().ok_or("usage: capture BUNDLE COMMAND [ARGUMENT…]")?;
    let args: Vec<String> = args.collect();
    let id = format!("capture-{}", std::process::id());
    let limit = Duration::from_secs(60);
    let captured = capture(Path::new(&bundle), &id, &libcorten::default_state_root(), &args, limit)?;
    print!("{}", captured.output);
    println!("{}{}", captured.exit, if captured.timed_out { ", out of time" } else { "" });
    Ok(())
}
