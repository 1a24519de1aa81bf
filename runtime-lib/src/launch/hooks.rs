//! prestart, createRuntime, poststart and poststop hooks: programs in the runtime's namespaces.

use crate::error::{Error, ErrorKind, Result};
use crate::spec::Hook;
use crate::sys::clone::Child;
use crate::sys::{kill, memfd, pidfd, spawn};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

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

/// Runs one hook, as the leader of a process group of its own.
fn run_one(hook: &Hook, state: &HookState<'_>) -> Result<()> {
    let failed = |error: std::io::Error| Error::os(format!("run {}", hook.path), error).with_kind(ErrorKind::Hook);
    // Files and not pipes: a hook that does not read, or whose children keep its output open, must not block us.
    let scratch = |name| memfd::scratch(name).map_err(|errno| Error::os("create a file for a hook", errno));
    let (mut input, output) = (scratch(c"hook state")?, scratch(c"hook output")?);
    let text = serde_json::to_vec(state).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    input.write_all(&text).and_then(|()| input.rewind()).map_err(failed)?;
    let input = input.try_clone().map_err(failed)?;
    // A duplicate is never one of the descriptors 0 to 2, which a caller may have closed.
    let for_child = output.try_clone().map_err(failed)?;
    let (path, directory) = (c(&hook.path)?, c(state.bundle)?);
    let (args, env) = (strings(&hook.args)?, strings(&hook.env)?);
    let child = spawn::spawn(&spawn::Program {
        path: &path,
        args: &pointers(&args),
        env: &pointers(&env),
        directory: Some(&directory),
        input: input.as_fd(),
        output: for_child.as_fd(),
    });
    let child = child.map_err(|errno| failed(errno.into()))?;
    match wait(&child, hook.timeout).map_err(failed)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(hook_error(&describe(status), output)),
        None => Err(hook_error("timed out and was killed", output)),
    }
}

pub(super) fn c(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(ErrorKind::Internal, format!("a NUL byte in {text:?}")))
}

pub(super) fn strings(texts: &[String]) -> Result<Vec<CString>> {
    texts.iter().map(|text| c(text)).collect()
}

pub(super) fn pointers(texts: &[CString]) -> Vec<&CStr> {
    texts.iter().map(CString::as_c_str).collect()
}

/// Waits for the hook; none if it ran out of time and was killed, with all processes of its group.
pub(super) fn wait(child: &Child, timeout: Option<u64>) -> std::io::Result<Option<ExitStatus>> {
    let in_time = match timeout {
        Some(seconds) => pidfd::ends_within(&child.pidfd, Duration::from_secs(seconds))?,
        None => true,
    };
    if !in_time {
        // Our child, which nobody else reaps: the pid, and so the group, is still its own.
        let _ = kill::kill_group(child.pid, libc::SIGKILL);
    }
    let status = match pidfd::wait(&child.pidfd)? {
        pidfd::Ended::Exited(code) => ExitStatus::from_raw(code << 8),
        pidfd::Ended::Signaled(signal) => ExitStatus::from_raw(signal),
    };
    Ok(in_time.then_some(status))
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
        (Ok(_), text) if !text.is_empty() => error.and(&format!(", output: {}", text.escape_debug())),
        _ => error,
    }
}
