//! The log, in the two formats of runc's (logrus's): engines read the reason of a failure from the last line of
//! `--log FILE --log-format json`.

use crate::failure::Failure;
use libcorten::Observer;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

/// `--log`, `--log-format` and `--debug`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    pub(crate) file: Option<PathBuf>,
    pub(crate) format: Format,
    pub(crate) debug: bool,
}

/// Where messages go: to the file, or to standard error without one.
#[derive(Debug, Default)]
pub(crate) struct Log {
    file: Option<File>,
    format: Format,
    debug: bool,
}

impl Log {
    /// Opens the log file, if there is to be one.
    pub(crate) fn open(options: &LogOptions) -> Result<Log, Failure> {
        let open = |path: &PathBuf| {
            // One write per line in append mode: several runtimes may share the file. O_NONBLOCK: a FIFO that nobody
            // reads must not hang a container's engine; such a line is lost.
            let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
            let file = File::options().append(true).create(true).mode(0o644).custom_flags(flags).open(path);
            file.map_err(|error| Failure::os(format_args!("open log {}", path.display()), &error))
        };
        let file = options.file.as_ref().map(open).transpose()?;
        Ok(Log { file, format: options.format, debug: options.debug })
    }

    /// The reason of a failure. It is on standard error in any case.
    pub(crate) fn error(&self, message: &str) {
        self.line("error", message);
        if self.file.is_some() {
            let _ = writeln!(std::io::stderr(), "{}", message.trim_end_matches('\n'));
        }
    }

    pub(crate) fn warning(&self, message: &str) {
        self.line("warning", message);
    }

    /// Written only with `--debug`.
    pub(crate) fn debug(&self, message: &str) {
        if self.debug {
            self.line("debug", message);
        }
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug
    }

    /// Logs the phases of what the library does, with `--debug` only.
    pub(crate) fn observer(&self) -> Option<Observer> {
        if !self.debug {
            return None;
        }
        let file = self.file.as_ref().map(File::try_clone).transpose().ok()?;
        let log = Log { file, format: self.format, debug: true };
        Some(Observer::new(move |phase, took| log.debug(&format!("phase: {phase}: {} µs", took.as_micros()))))
    }

    fn line(&self, level: &str, message: &str) {
        let line = format_line(self.format, level, message, SystemTime::now());
        // A log that cannot be written cannot be reported.
        let _ = match self.file.as_ref() {
            Some(mut file) => file.write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

fn format_line(format: Format, level: &str, message: &str, time: SystemTime) -> String {
    let time = rfc3339(time);
    match format {
        Format::Text => format!("time=\"{time}\" level={level} msg={}\n", text_value(message)),
        Format::Json => {
            let message = serde_json::Value::from(message);
            format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n")
        }
    }
}

/// A value of the text format: bare if it is one plain word, else quoted with Go's escapes.
fn text_value(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// `time` in UTC with a resolution of seconds; a time before 1970 is 1970.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The Gregorian date of a day counted from 1970-01-01.
fn civil_date(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, years begin in March, so that a leap day is the last of its year, and the calendar
    // repeats every 400 years (146,097 days).
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months of 31, 30, 31, 30, 31 days: 153 days in five months.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_date() {
        // date -u -d TIME +%s
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_323_045, "2026-01-02T03:04:05Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(5)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn lines_are_logruss() {
        let line = |format, message| format_line(format, "error", message, UNIX_EPOCH + Duration::from_secs(1));
        for (message, text, json) in [
            ("plain", "msg=plain", r#""msg":"plain""#),
            ("two words", r#"msg="two words""#, r#""msg":"two words""#),
            ("", r#"msg="""#, r#""msg":"""#),
            ("No help topic for 'x'\n", r#"msg="No help topic for 'x'\n""#, r#""msg":"No help topic for 'x'\n""#),
            (r#"unknown signal "X""#, r#"msg="unknown signal \"X\"""#, r#""msg":"unknown signal \"X\"""#),
            ("back\\slash", r#"msg="back\\slash""#, r#""msg":"back\\slash""#),
            ("bell\x07", r#"msg="bell\x07""#, r#""msg":"bell\u0007""#),
            ("é", r#"msg="é""#, r#""msg":"é""#),
        ] {
            let stamp = "1970-01-01T00:00:01Z";
            assert_eq!(line(Format::Text, message), format!("time=\"{stamp}\" level=error {text}\n"));
            assert_eq!(line(Format::Json, message), format!("{{\"level\":\"error\",{json},\"time\":\"{stamp}\"}}\n"));
        }
    }

    #[test]
    fn a_log_file_is_appended_to() {
        let path = std::env::temp_dir().join(format!("corten-log-test-{}", std::process::id()));
        std::fs::write(&path, "before\n").unwrap();
        let options = LogOptions { file: Some(path.clone()), format: Format::Json, debug: false };
        let log = Log::open(&options).unwrap();
        log.warning("careful");
        log.debug("not without --debug");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "before");
        let value: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!((value["level"].as_str(), value["msg"].as_str()), (Some("warning"), Some("careful")));
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named() {
        let options = LogOptions { file: Some("/nonexistent/log".into()), ..LogOptions::default() };
        let failure = Log::open(&options).unwrap_err();
        assert_eq!(failure.message(), "open log /nonexistent/log: No such file or directory");
    }
}
