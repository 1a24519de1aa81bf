//! `corten events`

mod metrics;

use super::{Context, Verb, print};
use crate::args::{option, switch, text};
use crate::failure::Failure;
use libcorten::cgroup::Stats;
use libcorten::{Container, Event};
use serde::Serialize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub(super) const VERB: Verb = Verb {
    name: "events",
    about: "print what a container uses, and when its memory runs out",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| {
        command
            .arg(option("interval", "TIME", "time between statistics [default: 5s]").value_parser(duration))
            .arg(switch("stats", "print the statistics once"))
            .arg(option("format", "FORMAT", "with --stats: json or prometheus [default: json]"))
    },
    run,
};

/// A line of output.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Stats>,
}

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let interval = context.matches.get_one::<Duration>("interval").copied().unwrap_or(Duration::from_secs(5));
    if interval.is_zero() {
        return Err(Failure::new("duration interval must be greater than 0"));
    }
    let once = context.matches.get_flag("stats");
    let format = text(&context.matches, "format").and_then(|format| format.to_str());
    match (format, once) {
        (None | Some("json"), _) => {}
        (Some("prometheus"), true) => {
            return print(&metrics::text(context.id(), &context.container()?.stats()?));
        }
        (Some("prometheus"), false) => return Err(Failure::new("the format prometheus needs --stats")),
        _ => return Err(Failure::new("invalid format option")),
    }
    let container = context.container()?;
    if once { print_stats(&container, context.id()) } else { follow(&container, context.id(), interval) }
}

/// Until the container ends. As with runc the first statistics come after the first interval.
fn follow(container: &Container, id: &str, interval: Duration) -> Result<ExitCode, Failure> {
    let mut events = container.events()?;
    let mut next = Instant::now() + interval;
    loop {
        match events.wait(next.saturating_duration_since(Instant::now()))? {
            Event::OutOfMemory => print_line(&Line { kind: "oom", id, data: None })?,
            Event::Ended => return Ok(ExitCode::SUCCESS),
            Event::TimedOut => {
                next = Instant::now() + interval;
                match print_stats(container, id) {
                    // It has ended meanwhile: the next wait says so.
                    Err(_) if events.wait(Duration::ZERO)? == Event::Ended => return Ok(ExitCode::SUCCESS),
                    printed => printed?,
                }
            }
        };
    }
}

fn print_stats(container: &Container, id: &str) -> Result<ExitCode, Failure> {
    print_line(&Line { kind: "stats", id, data: Some(&container.stats()?) })
}

fn print_line(line: &Line<'_>) -> Result<ExitCode, Failure> {
    let text = serde_json::to_string(line).map_err(|error| Failure::new(error.to_string()))?;
    print(&(text + "\n"))
}

/// A duration as Go writes it: `5s`, `1m30s`, `1.5h`, `100ms`; one below zero counts as none.
fn duration(text: &str) -> Result<Duration, String> {
    let fault = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(fault());
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fault)?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(fault()),
        };
        sum += number.parse::<f64>().map_err(|_| fault())? * seconds;
        rest = after;
    }
    match Duration::try_from_secs_f64(sum) {
        Ok(_) if negative => Ok(Duration::ZERO),
        // Go's durations end after 292 years.
        Ok(duration) if sum < 9.2e9 => Ok(duration),
        _ => Err(fault()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, milliseconds) in [
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("100ms", 100),
            ("0", 0),
            ("-5s", 0),
            ("+2s", 2_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "s", "x", "5x", "1.2.3s", "5 s", "99999999h", "-"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_oom_line_is_runcs() {
        let line = serde_json::to_string(&Line { kind: "oom", id: "a", data: None }).unwrap();
        assert_eq!(line, r#"{"type":"oom","id":"a"}"#);
    }
}
