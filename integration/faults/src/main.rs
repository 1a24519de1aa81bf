//! Fault injection: every system call of corten and of its init fails, one at a time, in each way that is likely, and both are
//! killed before each.
//!
//! A program outside does it, with ptrace(2): the program under test is the one that is shipped, not a build of its own, and
//! the calls of every library in it count as well. After each fault the container must be as if nothing had happened
//! (what the program in it sees is compared), or the command must have failed with a message that names the error; after
//! `delete --force`, or after the failed `create` by itself, nothing may be left.
//!
//! ```text
//! faults [--corten PATH] [--view native|v2]… [--kind plain|hooks|user|terminal|device|agent|notify]…
//!        [--operation NAME]… [--every N] [--first N] [--jobs N] [--parts N] [--log FILE] [--systemd]
//!        [--messages] [--missing|--meanwhile]
//! ```
//!
//! With `--log` what is found is written to a file, and parts that are in it without a fault are not tried again: a run that was
//! interrupted goes on. `--parts` says in how many parts an operation is tried.
//!
//! With `--meanwhile` nothing fails: the command is held at a step for a tenth of a second, and `state`, `kill` or `delete --force` comes.
//!
//! With `--missing` it is not one call that fails but all of a kind, as on an older kernel (`ENOSYS`) or within a container of an
//! engine that does not know them (`EPERM`); each kind alone, and all at once.

#[cfg(target_arch = "x86_64")]
mod bundle;
#[cfg(target_arch = "x86_64")]
mod bystander;
#[cfg(target_arch = "x86_64")]
mod calls;
#[cfg(target_arch = "x86_64")]
mod driver;
#[cfg(target_arch = "x86_64")]
mod explained;
#[cfg(target_arch = "x86_64")]
mod judge;
#[cfg(target_arch = "x86_64")]
mod leftovers;
#[cfg(target_arch = "x86_64")]
mod missing;
#[cfg(target_arch = "x86_64")]
mod operation;
#[cfg(target_arch = "x86_64")]
mod partners;
#[cfg(target_arch = "x86_64")]
mod trace;
#[cfg(target_arch = "x86_64")]
mod trial;
#[cfg(target_arch = "x86_64")]
mod watchdog;
#[cfg(target_arch = "x86_64")]
mod worker;

#[cfg(target_arch = "x86_64")]
fn main() -> std::process::ExitCode {
    driver::main()
}

/// The registers in which a call's number and result are differ from one architecture to the next.
#[cfg(not(target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    println!("faults are injected on x86_64 only");
    std::process::ExitCode::FAILURE
}
