//! `corten plan`

use super::{Context, Verb, print};
use crate::args::{option, switch, text};
use crate::failure::Failure;
use clap::ArgMatches;
use libcorten::{Bundle, Plan, seccomp};
use std::ffi::OsStr;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "plan",
    about: "print what create would do, without doing it",
    operands: "[BUNDLE]",
    count: 0..=1,
    options: |command| {
        command
            .arg(option("bundle", "DIR", "the bundle [default: the current directory]").short('b'))
            .arg(option("format", "FORMAT", "text or json [default: text]").default_value("text"))
            .arg(option("id", "CONTAINER-ID", "the id to plan for [default: container]").default_value("container"))
            .arg(switch("seccomp", "print the seccomp decisions per architecture and the filter, disassembled"))
    },
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let bundle = context.bundle(bundle_dir(context))?;
    let wanted = context.matches.get_flag("seccomp");
    let decisions = if wanted { Some(decisions(&bundle)?) } else { None };
    let plan = context.builder(&option_text(&context.matches, "id"))?.loaded_bundle(bundle).plan()?;
    if let Some(decisions) = decisions {
        return print(&filter(decisions, &plan));
    }
    match option_text(&context.matches, "format").as_str() {
        "text" => print(&plan.to_string()),
        "json" => {
            let json = serde_json::to_string_pretty(&plan).map_err(|error| Failure::new(error.to_string()))?;
            print(&(json + "\n"))
        }
        _ => Err(Failure::new("invalid format option")),
    }
}

/// What the profile says, one architecture after the other.
fn decisions(bundle: &Bundle) -> Result<Option<String>, Failure> {
    match (&bundle.spec().seccomp, seccomp::Arch::native()) {
        (Some(profile), Some(native)) => Ok(Some(seccomp::explain(profile, native)?)),
        _ => Ok(None),
    }
}

fn filter(decisions: Option<String>, plan: &Plan) -> String {
    match (decisions, &plan.security.seccomp) {
        (Some(decisions), Some(filter)) => {
            let (count, flags) = (filter.program.len(), filter.flags);
            format!("{decisions}\n{count} instructions, flags {flags:#x}\n{filter}")
        }
        _ => "no seccomp profile\n".to_owned(),
    }
}

fn option_text(matches: &ArgMatches, name: &str) -> String {
    text(matches, name).unwrap_or_default().to_string_lossy().into_owned()
}

/// The bundle of a verb that takes it as an operand or as an option.
pub(super) fn bundle_dir<'a>(context: &'a Context<'_>) -> &'a OsStr {
    let option = text(&context.matches, "bundle");
    option.or_else(|| context.operand(0).map(OsStr::new)).unwrap_or(OsStr::new("."))
}
