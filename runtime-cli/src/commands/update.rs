//! `corten update`

use super::{Context, Verb};
use crate::args::{option, text};
use crate::failure::Failure;
use libcorten::resctrl::RdtChange;
use serde_json::{Map, Value, json};
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "update",
    about: "change a container's limits",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| {
        let resources = "file in the form of linux.resources, - for standard input; the other options are ignored then";
        LIMITS.iter().fold(command.arg(option("resources", "FILE", resources).short('r')), |command, limit| {
            let option = option(limit.name, limit.kind.word(), limit.about).hide(limit.kind == Kind::Ignored);
            command.arg(if limit.kind == Kind::SignedOrZero { option.value_parser(number) } else { option })
        })
    },
    run,
};

/// How an option's value is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A number without a sign.
    Unsigned,
    /// A number.
    Signed,
    /// A number of which zero means that it is not given. Another word is a wrong command line, as with runc; of the others the container is
    /// looked for first.
    SignedOrZero,
    /// Bytes, with a unit such as `m`; -1 for no limit.
    Bytes,
    /// A list such as `0-3,7`.
    List,
    /// What kernels no longer have.
    Ignored,
    /// What takes a group of `resctrl`.
    Schema,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Unsigned | Kind::Signed | Kind::SignedOrZero => "NUMBER",
            Kind::Bytes | Kind::Ignored => "BYTES",
            Kind::List => "LIST",
            Kind::Schema => "SCHEMA",
        }
    }
}

fn number(text: &str) -> Result<OsString, std::num::ParseIntError> {
    text.parse::<i64>().map(|_| text.into())
}

struct Limit {
    name: &'static str,
    kind: Kind,
    /// Its place in `linux.resources`.
    place: [&'static str; 2],
    about: &'static str,
}

const fn limit(name: &'static str, kind: Kind, place: [&'static str; 2], about: &'static str) -> Limit {
    Limit { name, kind, place, about }
}

const LIMITS: &[Limit] = &[
    limit("blkio-weight", Kind::SignedOrZero, ["blockIO", "weight"], "weight of block I/O, 10 to 1000"),
    limit("cpu-period", Kind::Unsigned, ["cpu", "period"], "period of the CPU quota, in microseconds"),
    limit("cpu-quota", Kind::Signed, ["cpu", "quota"], "CPU time in a period, in microseconds; -1 for no limit"),
    limit("cpu-burst", Kind::Unsigned, ["cpu", "burst"], "CPU time saved up for later periods, in microseconds"),
    limit("cpu-share", Kind::Unsigned, ["cpu", "shares"], "CPU shares, relative to other containers"),
    limit("cpu-rt-period", Kind::Unsigned, ["cpu", "realtimePeriod"], "period of realtime CPU, in microseconds"),
    limit("cpu-rt-runtime", Kind::Signed, ["cpu", "realtimeRuntime"], "realtime CPU in a period, in microseconds"),
    limit("cpu-idle", Kind::Signed, ["cpu", "idle"], "1 to run only when nothing else wants the CPU"),
    limit("cpuset-cpus", Kind::List, ["cpu", "cpus"], "CPUs to use"),
    limit("cpuset-mems", Kind::List, ["cpu", "mems"], "memory nodes to use"),
    limit("memory", Kind::Bytes, ["memory", "limit"], "limit of memory"),
    limit("memory-reservation", Kind::Bytes, ["memory", "reservation"], "soft limit of memory"),
    limit("memory-swap", Kind::Bytes, ["memory", "swap"], "limit of memory and swap together; -1 for none"),
    limit("kernel-memory", Kind::Ignored, ["memory", "kernel"], "ignored"),
    limit("kernel-memory-tcp", Kind::Ignored, ["memory", "kernelTCP"], "ignored"),
    limit("pids-limit", Kind::SignedOrZero, ["pids", "limit"], "number of processes; -1 for no limit"),
    limit("l3-cache-schema", Kind::Schema, ["", ""], "schema of the L3 cache (Intel RDT/CAT)"),
    limit("mem-bw-schema", Kind::Schema, ["", ""], "schema of the memory bandwidth (Intel RDT/MBA)"),
];

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let container = context.container()?;
    let resources = match text(&context.matches, "resources") {
        Some(file) => read(file)?,
        None => Value::Object(from_options(context)?).to_string().into_bytes(),
    };
    // These two count with a file as well, as with runc.
    let schema = |name: &str| {
        let schema = text(&context.matches, name).map(|text| text.to_string_lossy().into_owned());
        schema.filter(|schema| !schema.is_empty())
    };
    let rdt = RdtChange { l3_cache_schema: schema("l3-cache-schema"), mem_bw_schema: schema("mem-bw-schema") };
    container.update_with(&libcorten::spec::parse_resources(&resources)?, &rdt)?;
    Ok(ExitCode::SUCCESS)
}

/// A file is never this large; one that never ends must not exhaust memory.
const RESOURCES_LIMIT: u64 = 16 << 20;

fn read(file: &OsStr) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    if file == "-" {
        let read = std::io::stdin().lock().take(RESOURCES_LIMIT).read_to_end(&mut text);
        read.map_err(|error| Failure::os("read standard input", &error))?;
    } else {
        let failed = |error| Failure::os(format_args!("open {}", Path::new(file).display()), &error);
        let file = std::fs::File::open(file).map_err(failed)?;
        file.take(RESOURCES_LIMIT).read_to_end(&mut text).map_err(failed)?;
    }
    Ok(text)
}

fn from_options(context: &Context<'_>) -> Result<Map<String, Value>, Failure> {
    let mut resources = Map::new();
    for limit in LIMITS {
        let Some(text) = text(&context.matches, limit.name).map(|text| text.to_string_lossy()) else { continue };
        if limit.kind == Kind::Schema {
            continue;
        }
        if limit.kind == Kind::Ignored {
            context.log.warning("Kernel memory settings are ignored and will be removed");
            continue;
        }
        let value = value(limit.kind, &text)
            .map_err(|fault| Failure::new(format!("invalid value for {}: {fault}", limit.name)))?;
        let [section, name] = limit.place;
        let section = resources.entry(section).or_insert_with(|| json!({}));
        if let Some(section) = section.as_object_mut() {
            section.insert(name.to_owned(), value);
        }
    }
    Ok(resources)
}

/// The limits that the options give, as they are checked before the container is looked at.
#[cfg(any(test, fuzzing))]
pub(super) fn meaning(context: &Context<'_>) -> Result<(), Failure> {
    let resources = Value::Object(from_options(context)?).to_string();
    libcorten::spec::parse_resources(resources.as_bytes())?;
    Ok(())
}

fn value(kind: Kind, text: &str) -> Result<Value, String> {
    let number = |error: std::num::ParseIntError| format!("{text:?}: {error}");
    match kind {
        Kind::Unsigned => text.parse::<u64>().map(Value::from).map_err(number),
        Kind::Signed | Kind::SignedOrZero => text.parse::<i64>().map(Value::from).map_err(number),
        Kind::Bytes | Kind::Ignored if text == "-1" => Ok(Value::from(-1)),
        Kind::Bytes | Kind::Ignored => bytes(text).map(Value::from).ok_or_else(|| format!("invalid size: '{text}'")),
        Kind::List | Kind::Schema => Ok(Value::from(text)),
    }
}

/// A size as Docker's `units.RAMInBytes` reads it: `1.5g`, `10 MiB`, `4096`; units are powers of 1024.
fn bytes(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let power = match unit.strip_suffix('i').unwrap_or(unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    if number.starts_with('.') {
        return None;
    }
    let factor = 1i64 << (10 * power);
    match number.parse::<i64>() {
        Ok(whole) => whole.checked_mul(factor),
        // The fraction is cut off, as there.
        Err(_) => Some((number.parse::<f64>().ok()? * factor as f64) as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_does() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("32", Some(32)),
            ("32b", Some(32)),
            ("32kb", Some(32 << 10)),
            ("32KiB", Some(32 << 10)),
            ("1.5m", Some(3 << 19)),
            ("10 MB", Some(10 << 20)),
            ("1g", Some(1 << 30)),
            ("1t", Some(1 << 40)),
            ("1P", Some(1 << 50)),
            ("", None),
            ("m", None),
            ("-5", None),
            ("10x", None),
            ("1.2.3", None),
            (".5k", None),
            ("10  m", None),
            ("99999999999p", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_that_are_none_are_refused() {
        assert_eq!(value(Kind::Bytes, "10x").unwrap_err(), "invalid size: '10x'");
        assert!(value(Kind::Unsigned, "-1").is_err() && value(Kind::Signed, "x").is_err());
        assert_eq!(value(Kind::Bytes, "-1"), Ok(Value::from(-1)));
    }
}
