//! prestart, createRuntime, poststart and poststop hooks: programs in the runtime's namespaces.

use crate::error::{Error, ErrorKind, Result};
use crate::spec::Hook;
use crate::sys::{memfd, pidfd};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What of a hook's output goes into the error.
const OUTPUT_LIMIT: u64 = 4096;

/// The container's state as a hook gets it on standard input.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HookState<'a> {
    pub(crate) oci_version: &'a str,
    pub(crate) id: &'a str,
    pub(crate) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<i32>,
    pub(crate) bundle: &'a str,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(crate) annotations: &'a std::collections::BTreeMap<String, String>,
}

/// Runs the hooks of one kind (`prestart`, …) one after another; the first that fails ends it.
///
/// # Errors
/// [`ErrorKind::Hook`], naming the hook, with its exit code and output.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &HookState<'_>) -> Result<()> {
    for (place, hook) in hooks.iter().enumerate() {
        run_one(hook, state).map_err(|error| error.at(format!("hooks.{kind}[{place}]")))?;
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &HookState<'_>) -> Result<()> {
    let failed = |error: std::io::Error| Error::os(format!("run {}", hook.path), error).with_kind(ErrorKind::Hook);
    // Files and not pipes: a hook that does not read, or whose children keep its output open, must not block us.
    let scratch = |name| memfd::scratch(name).map_err(|errno| Error::os("create a file for a hook", errno));
    let (mut input, output) = (scratch(c"hook state")?, scratch(c"hook output")?);
    let text = serde_json::to_vec(state).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    input.write_all(&text).and_then(|()| input.rewind()).map_err(failed)?;
    let stdio = |file: &File| file.try_clone().map(Stdio::from).map_err(failed);
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    command.current_dir(state.bundle).stdin(input).stdout(stdio(&output)?).stderr(stdio(&output)?);
    let mut child = command.spawn().map_err(failed)?;
    let status = wait(&mut child, hook.timeout).map_err(failed)?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(hook_error(&describe(status), output)),
        None => Err(hook_error("timed out and was killed", output)),
    }
}

/// Waits for the hook; none if it ran out of time and was killed.
fn wait(child: &mut Child, timeout: Option<u64>) -> std::io::Result<Option<ExitStatus>> {
    let Some(seconds) = timeout else { return child.wait().map(Some) };
    let end = Instant::now().checked_add(Duration::from_secs(seconds));
    let pidfd = pidfd::open(child.id() as i32)?;
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let left = left.map_or(PollTimeout::NONE, |left| {
            // Rounded up, or the last millisecond would be spent spinning; a wait beyond 24 days is cut and repeated.
            PollTimeout::try_from(left.as_millis().saturating_add(1).min(1 << 30)).unwrap_or(PollTimeout::MAX)
        });
        let ended = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], left);
        match ended {
            Ok(0) if end.is_some_and(|end| Instant::now() >= end) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return child.wait().map(Some),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// How a hook ended, in the words of runc.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
    }
}

/// The error of a hook that failed, with what it printed.
fn hook_error(how: &str, output: File) -> Error {
    with_output(Error::new(ErrorKind::Hook, format!("error running hook: {how}")), output)
}

/// Adds what the hook printed to its error.
pub(crate) fn with_output(error: Error, mut output: File) -> Error {
    let mut text = Vec::new();
    let read = output.rewind().and_then(|()| output.take(OUTPUT_LIMIT).read_to_end(&mut text));
    match (read, String::from_utf8_lossy(&text).trim()) {
        (Ok(_), text) if !text.is_empty() => {
            Error::new(ErrorKind::Hook, format!("{error}, output: {}", text.escape_debug()))
        }
        _ => error,
    }
}
