//! Gives a container that runs other limits, and tells what it uses until it ends.
//!
//! `cargo run --example limits -- CONTAINER-ID`, as root, beside `corten run CONTAINER-ID`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program, not a library")]

use libcorten::oci_spec::runtime::{LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResourcesBuilder};
use libcorten::{Container, Event};
use std::path::Path;
use std::time::Duration;

/// Limits `container` to so many bytes and processes; nothing changes if one of the limits is refused.
pub(crate) fn limit(container: &Container, bytes: i64, processes: i64) -> Result<(), Box<dyn std::error::Error>> {
    let memory = LinuxMemoryBuilder::default().limit(bytes).build()?;
    let pids = LinuxPidsBuilder::default().limit(processes).build()?;
    container.update(&LinuxResourcesBuilder::default().memory(memory).pids(pids).build()?)?;
    Ok(())
}

/// Tells `told` what happens, and at each `interval` what the container uses, until it ends.
pub(crate) fn watch(container: &Container, interval: Duration, mut told: impl FnMut(String)) -> libcorten::Result<()> {
    let mut events = container.events()?;
    loop {
        match events.wait(interval)? {
            Event::Ended => return Ok(()),
            Event::OutOfMemory => told("out of memory".to_owned()),
            // It may end while it is asked.
            Event::TimedOut => {
                if let Ok(stats) = container.stats() {
                    let memory = &stats.memory.usage;
                    told(format!("{} of {} bytes, {} processes", memory.usage, memory.limit, stats.pids.current));
                }
            }
        }
    }
}

#[allow(dead_code, reason = "a test uses this file as a module")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let id = std::env::args().nth(1).ok_or("usage: limits CONTAINER-ID")?;
    let container = Container::load(Path::new("/run/corten"), &id)?;
    limit(&container, 256 << 20, 100)?;
    Ok(watch(&container, Duration::from_secs(1), |line| println!("{line}"))?)
}
