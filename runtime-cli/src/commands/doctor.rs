//! `corten doctor`

use super::{Context, Verb, print};
use crate::args::{option, text};
use crate::doctor::{Finding, Health, examine};
use crate::failure::Failure;
use std::fmt::Write;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "doctor",
    about: "tell what this machine supports, what will not work, why, and what helps",
    operands: "",
    count: 0..=0,
    options: |command| {
        command.arg(option("format", "FORMAT", "text or json [default: text]").short('f').default_value("text"))
    },
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let findings = examine(&context.globals.root);
    match text(&context.matches, "format").and_then(|format| format.to_str()) {
        Some("text") => print(&report(&findings))?,
        Some("json") => {
            let json = serde_json::to_string_pretty(&findings).map_err(|error| Failure::new(error.to_string()))?;
            print(&(json + "\n"))?
        }
        _ => return Err(Failure::new("invalid format option")),
    };
    match findings.iter().filter(|finding| finding.health == Health::Missing).count() {
        0 => Ok(ExitCode::SUCCESS),
        1 => Err(Failure::new("containers cannot run here: one thing is missing")),
        many => Err(Failure::new(format!("containers cannot run here: {many} things are missing"))),
    }
}

fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut area = "";
    for finding in findings {
        if finding.area != area {
            area = finding.area;
            let _ = writeln!(text, "{area}");
        }
        let _ = writeln!(text, "  {:<8} {}: {}", finding.health.word(), finding.subject, finding.detail);
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "  {:<8} fix: {fix}", "");
        }
    }
    let of = |health| findings.iter().filter(|finding| finding.health == health).count();
    if of(Health::Missing) == 0 {
        let limits = of(Health::Limited);
        let _ = writeln!(text, "containers can run here; limited: {limits} of {}", findings.len());
    }
    text
}
