//! `corten list`

use super::{Context, Verb, print};
use crate::args::{option, switch, text};
use crate::failure::Failure;
use crate::table;
use libcorten::{Container, State};
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "list",
    about: "list the containers of the state directory",
    operands: "",
    count: 0..=0,
    options: |command| {
        command
            .arg(option("format", "FORMAT", "table or json [default: table]").short('f').default_value("table"))
            .arg(switch("quiet", "print ids only").short('q'))
    },
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let (states, unreadable) = Container::list(&context.globals.root)?;
    for error in &unreadable {
        context.log.warning(&format!("{error:#}"));
    }
    if context.matches.get_flag("quiet") {
        return print(&states.iter().map(|state| format!("{}\n", state.id)).collect::<String>());
    }
    match text(&context.matches, "format").and_then(|format| format.to_str()) {
        Some("table") => print(&table::layout(&rows(&states))),
        Some("json") => print(&json(&states)?),
        _ => Err(Failure::new("invalid format option")),
    }
}

/// `null` for none, as Go writes an empty list.
fn json(states: &[State]) -> Result<String, Failure> {
    let list = (!states.is_empty()).then_some(states);
    let text = serde_json::to_string(&list).map_err(|error| Failure::new(error.to_string()))?;
    Ok(text + "\n")
}

fn rows(states: &[State]) -> Vec<Vec<String>> {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned).to_vec();
    let row = |state: &State| {
        vec![
            state.id.clone(),
            state.pid.to_string(),
            state.status.to_string(),
            state.bundle.clone(),
            state.created.clone(),
            state.owner.clone(),
        ]
    };
    std::iter::once(header).chain(states.iter().map(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use libcorten::Status;

    fn state(id: &str) -> State {
        State {
            oci_version: "1.0.2".into(),
            id: id.into(),
            pid: 7,
            status: Status::Running,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "2026-01-02T03:04:05.000000006Z".into(),
            annotations: [("k".to_owned(), "v".to_owned())].into(),
            owner: "root".into(),
        }
    }

    #[test]
    fn json_is_a_line_and_null_for_none() {
        assert_eq!(json(&[]).unwrap(), "null\n");
        assert_eq!(
            json(&[state("a")]).unwrap(),
            "[{\"ociVersion\":\"1.0.2\",\"id\":\"a\",\"pid\":7,\"status\":\"running\",\"bundle\":\"/b\",\
             \"rootfs\":\"/b/rootfs\",\"created\":\"2026-01-02T03:04:05.000000006Z\",\
             \"annotations\":{\"k\":\"v\"},\"owner\":\"root\"}]\n"
        );
    }

    #[test]
    fn a_row_for_each_container_below_the_header() {
        let rows = rows(&[state("a"), state("b")]);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[2], ["b", "7", "running", "/b", "2026-01-02T03:04:05.000000006Z", "root"]);
    }
}
