//! Signals by name or number, as `kill` takes them.

use crate::failure::Failure;
use nix::sys::signal::Signal;
use std::str::FromStr;

/// The number of a signal given as `9`, `KILL`, `SIGKILL`, `kill` or `RTMIN+3`; 0 checks that the container's process
/// exists, see `kill(2)`.
pub(crate) fn parse(text: &str) -> Result<i32, Failure> {
    let unknown = || Failure::new(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return (0..=libc::SIGRTMAX()).contains(&number).then_some(number).ok_or_else(unknown);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(number) = real_time(name) {
        return number.ok_or_else(unknown);
    }
    match name {
        "CLD" => return Ok(libc::SIGCHLD),
        "POLL" => return Ok(libc::SIGIO),
        "IOT" => return Ok(libc::SIGABRT),
        _ => {}
    }
    Signal::from_str(&format!("SIG{name}")).map(|signal| signal as i32).map_err(|_| unknown())
}

/// `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`: `None` when the name is none of these, `Some(None)` when n is out of range.
fn real_time(name: &str) -> Option<Option<i32>> {
    let (range, offset, sign) = if let Some(offset) = name.strip_prefix("RTMIN") {
        (libc::SIGRTMIN(), offset, '+')
    } else {
        (libc::SIGRTMAX(), name.strip_prefix("RTMAX")?, '-')
    };
    if offset.is_empty() {
        return Some(Some(range));
    }
    let digits = offset.strip_prefix(sign)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(None);
    }
    let offset: Option<i32> = digits.parse().ok().filter(|offset| *offset <= libc::SIGRTMAX() - libc::SIGRTMIN());
    Some(offset.map(|offset| if sign == '+' { range + offset } else { range - offset }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("0", 0),
            ("1", 1),
            ("9", 9),
            ("64", 64),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigkill", 9),
            ("Kill", 9),
            ("TERM", 15),
            ("hup", 1),
            ("usr1", 10),
            ("SIGSTKFLT", 16),
            ("CHLD", 17),
            ("CLD", 17),
            ("winch", 28),
            ("IO", 29),
            ("POLL", 29),
            ("PWR", 30),
            ("SYS", 31),
            ("RTMIN", libc::SIGRTMIN()),
            ("sigrtmin+3", libc::SIGRTMIN() + 3),
            ("RTMAX-2", libc::SIGRTMAX() - 2),
            ("SIGRTMAX", libc::SIGRTMAX()),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
    }

    #[test]
    fn what_is_no_signal() {
        for text in [
            "",
            "FOO",
            "SIG",
            "SIGSIGKILL",
            "-1",
            "65",
            "99",
            "9x",
            "RTMIN+",
            "RTMIN-1",
            "RTMIN+99",
            "RTMAX+1",
            "rtminx",
        ] {
            assert_eq!(parse(text).unwrap_err().message(), format!("unknown signal {text:?}"));
        }
    }
}
