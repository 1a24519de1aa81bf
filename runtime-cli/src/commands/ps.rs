//! `corten ps`

use super::{Context, Verb, print};
use crate::args::{command_operands, option, text};
use crate::failure::Failure;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, ExitCode, Output, Stdio};

pub(super) const VERB: Verb = Verb {
    name: "ps",
    about: "list the processes of a container",
    operands: "CONTAINER-ID [PS-OPTION...]",
    count: 1..=usize::MAX,
    options: |command| {
        command
            .arg(option("format", "FORMAT", "table or json [default: table]").short('f').default_value("table"))
            .arg(command_operands())
    },
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let pids = context.container()?.processes()?;
    match text(&context.matches, "format").and_then(|format| format.to_str()) {
        Some("table") => print(&table(&ps(context, &pids)?, &pids)?),
        Some("json") => print(&json(&pids)?),
        _ => Err(Failure::new("invalid format option")),
    }
}

/// `null` for none, as Go writes an empty list.
fn json(pids: &[i32]) -> Result<String, Failure> {
    let list = (!pids.is_empty()).then_some(pids);
    let text = serde_json::to_string(&list).map_err(|error| Failure::new(error.to_string()))?;
    Ok(text + "\n")
}

/// More are as many as a machine has, and a long line.
const MOST_LISTED: usize = 1000;

/// What `ps(1)` prints with the options after the id, `-ef` by default: of that only what is asked for, since to look at every
/// process of a host with a thousand containers takes it a quarter of a second.
fn ps(context: &Context<'_>, pids: &[i32]) -> Result<String, Failure> {
    let given: Vec<&String> = context.matches.get_many::<String>("operands").into_iter().flatten().skip(1).collect();
    if given.is_empty() && (1..=MOST_LISTED).contains(&pids.len()) {
        let list = pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let output = output(Command::new("ps").args(["-f", "-q", &list]));
        let output = output.map_err(|error| Failure::os("execute ps", &error))?;
        // It fails when all have ended, or is one that takes no list.
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
    }
    let mut command = Command::new("ps");
    if given.is_empty() {
        command.arg("-ef");
    }
    let output = output(command.args(given)).map_err(|error| Failure::os("execute ps", &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("ps: {}: {}", output.status, said.trim_end())))
}

/// What the command prints. `Command::output` panics where a pipe cannot be read; this gives the error. The complaints go to a
/// file, not to a second pipe that would have to be read at the same time.
fn output(command: &mut Command) -> std::io::Result<Output> {
    let mut complaints = File::from(memfd_create(c"complaints", MFdFlags::MFD_CLOEXEC)?);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(complaints.try_clone()?).spawn()?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut stdout)?;
    }
    let status = child.wait()?;
    complaints.rewind()?;
    complaints.read_to_end(&mut stderr)?;
    Ok(Output { status, stdout, stderr })
}

/// The header and the lines whose `PID` column has one of `pids`.
fn table(listing: &str, pids: &[i32]) -> Result<String, Failure> {
    let mut lines = listing.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Failure::new("couldn't find PID field in ps output"))?;
    let mut text = format!("{header}\n");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse::<i32>().ok());
        if pid.is_some_and(|pid| pids.binary_search(&pid).is_ok()) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_the_column_that_the_header_names() {
        let listing = "UID   PID  CMD\nroot    1  init 7\nroot    7  sleep 1\n8       9  x\n";
        assert_eq!(table(listing, &[7, 8]).unwrap(), "UID   PID  CMD\nroot    7  sleep 1\n");
        assert_eq!(table("CMD\n", &[]).unwrap_err().message(), "couldn't find PID field in ps output");
    }

    #[test]
    fn json_is_a_line_and_null_for_none() {
        assert_eq!(json(&[]).unwrap(), "null\n");
        assert_eq!(json(&[3, 14]).unwrap(), "[3,14]\n");
    }
}
