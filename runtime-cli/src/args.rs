//! The command line: global options, a verb, the verb's options and operands.
//!
//! Engines write it for runc, whose parser is that of Go: options may have one dash or two (`-bundle`), a value may be
//! attached to a switch (`--force=false`), and of an option given twice the last counts. [`split`] finds the verb and
//! [`go_style`] turns those forms into what clap reads. Only the options of the one verb that is called are ever built.

use crate::commands::{self, Verb};
use crate::failure::Failure;
use crate::log::{Format, LogOptions};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use libcorten::seccomp::Backend;
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// runc's exit code for a verb that does not exist.
const UNKNOWN_VERB: u8 = 3;

const TEMPLATE: &str = "NAME:\n   {name} - {about}\n\nUSAGE:\n   {usage}\n\nOPTIONS:\n{options}\n{after-help}";

/// The options before the verb.
#[derive(Debug)]
pub(crate) struct Globals {
    /// The state directory, absolute.
    pub(crate) root: PathBuf,
    pub(crate) systemd_cgroup: bool,
    pub(crate) log: LogOptions,
    help: bool,
    version: bool,
}

/// What the command line asks for.
pub(crate) enum Invocation {
    /// Help or version.
    Print(String),
    Verb {
        verb: &'static Verb,
        matches: ArgMatches,
    },
}

/// The command line, cut at the verb.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split<'a> {
    pub(crate) globals: &'a [OsString],
    pub(crate) verb: Option<&'a OsStr>,
    pub(crate) rest: &'a [OsString],
}

/// Cuts the command line at its first word that is neither a global option nor the value of one.
pub(crate) fn split(arguments: &[OsString]) -> Split<'_> {
    let mut value_follows = false;
    let is_verb = |argument: &OsString| {
        let bytes = argument.as_encoded_bytes();
        if std::mem::take(&mut value_follows) {
            return false;
        }
        if !bytes.starts_with(b"-") {
            return true;
        }
        value_follows =
            VALUE_GLOBALS.iter().any(|name| option_name(argument) == Some(name.as_bytes())) && !bytes.contains(&b'=');
        false
    };
    let (globals, rest) = arguments.split_at(arguments.iter().position(is_verb).unwrap_or(arguments.len()));
    match rest.split_first() {
        Some((verb, rest)) => Split { globals, verb: Some(verb), rest },
        None => Split { globals, verb: None, rest: &[] },
    }
}

/// The global options that take a value.
pub(crate) const VALUE_GLOBALS: [&str; 5] = ["root", "log", "log-format", "rootless", "criu"];

/// `name` of `-name`, `--name` and `--name=value`.
fn option_name(argument: &OsStr) -> Option<&[u8]> {
    let bytes = argument.as_encoded_bytes();
    let name = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-"))?;
    name.split(|byte| *byte == b'=').next().filter(|name| !name.is_empty())
}

/// An option without a value.
pub(crate) fn switch(long: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).action(ArgAction::SetTrue).help(help)
}

/// An option with a value; an empty one counts as not given ([`text`]).
pub(crate) fn option(long: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(long)
        .long(long)
        .value_name(value)
        .value_parser(clap::value_parser!(OsString))
        .allow_hyphen_values(true)
        .hide_default_value(true)
        .help(help)
}

/// The value of an [`option`], unless it is absent or empty.
pub(crate) fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a OsStr> {
    matches.get_one::<OsString>(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
}

pub(crate) fn global_command() -> Command {
    base("corten", "an OCI container runtime")
        .override_usage("corten [OPTIONS] COMMAND [ARGUMENTS]")
        .arg(option("root", "DIR", "state directory [default: /run/corten, or $XDG_RUNTIME_DIR/corten unless root]"))
        .arg(option("log", "FILE", "append log lines to FILE instead of standard error"))
        .arg(option("log-format", "FORMAT", "format of log lines: text or json [default: text]"))
        .arg(switch("debug", "log debug lines as well"))
        .arg(switch("systemd-cgroup", "let systemd make cgroups; cgroupsPath is then slice:prefix:name"))
        .arg(option("rootless", "MODE", "true, false or auto: accepted for compatibility [default: auto]"))
        .arg(option("criu", "PATH", "accepted for compatibility").hide(true))
        .arg(switch("version", "print the version").short('v'))
}

/// A command with the settings that all share.
fn base(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .help_template(TEMPLATE)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(switch("help", "print this help").short('h'))
}

pub(crate) fn verb_command(verb: &Verb) -> Command {
    let operands = Arg::new("operands").num_args(0..).hide(true).allow_negative_numbers(true);
    let space = if verb.operands.is_empty() { "" } else { " " };
    let command = (verb.options)(base(verb.name, verb.about))
        .override_usage(format!("corten {} [OPTIONS]{space}{}", verb.name, verb.operands));
    if ends_with_a_command(&command) { command } else { command.arg(operands) }
}

/// The operands of a verb that runs a command: nothing behind the first is an option of ours.
pub(crate) fn command_operands() -> Arg {
    Arg::new("operands").num_args(0..).hide(true).allow_hyphen_values(true).trailing_var_arg(true)
}

fn ends_with_a_command(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.is_trailing_var_arg_set())
}

/// An option with a value that may be given several times.
pub(crate) fn repeated(long: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(long, value, help).action(ArgAction::Append)
}

/// The values of a [`repeated`] option, which must be UTF-8.
pub(crate) fn texts(matches: &ArgMatches, name: &str) -> Result<Vec<String>, Failure> {
    let values = matches.get_many::<OsString>(name).into_iter().flatten();
    values
        .map(|value| {
            let text = value.to_str().map(str::to_owned);
            text.ok_or_else(|| Failure::new(format!("--{name} {}: not UTF-8", Path::new(value).display())))
        })
        .collect()
}

/// Reads the global options.
pub(crate) fn globals(split: &Split<'_>) -> Result<Globals, Failure> {
    let mut command = global_command();
    let matches = parse(&mut command, split.globals, global_help)?;
    let rootless = text(&matches, "rootless").unwrap_or(OsStr::new("auto"));
    if rootless != "auto" && rootless.to_str().is_none_or(|value| go_bool(value).is_none()) {
        return Err(Failure::new(format!(
            "invalid --rootless {}: not true, false or auto",
            Path::new(rootless).display()
        )));
    }
    let format = text(&matches, "log-format").unwrap_or(OsStr::new("text"));
    let format = log_format(format)
        .ok_or_else(|| Failure::new(format!("invalid log-format: {}", Path::new(format).display())))?;
    let root = match text(&matches, "root") {
        Some(root) => std::path::absolute(root).map_err(|error| Failure::os("find the state directory", &error))?,
        None => libcorten::default_state_root(),
    };
    Ok(Globals {
        root,
        systemd_cgroup: matches.get_flag("systemd-cgroup"),
        log: LogOptions { file: text(&matches, "log").map(PathBuf::from), format, debug: matches.get_flag("debug") },
        help: matches.get_flag("help"),
        version: matches.get_flag("version"),
    })
}

fn log_format(name: &OsStr) -> Option<Format> {
    match name.to_str()? {
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// `--log` and `--log-format` of a command line that is wrong otherwise, as well as they can be made out.
pub(crate) fn log_options_in(globals: &[OsString]) -> LogOptions {
    let mut options = LogOptions::default();
    let mut words = globals.iter();
    while let Some(word) = words.next() {
        let attached = word.to_str().and_then(|word| word.split_once('=')).map(|(_, value)| OsString::from(value));
        let mut value = || attached.clone().or_else(|| words.next().cloned()).filter(|value| !value.is_empty());
        match option_name(word) {
            Some(b"log") => options.file = value().map(PathBuf::from),
            Some(b"log-format") => {
                options.format = value().and_then(|name| log_format(&name)).unwrap_or_default();
            }
            _ => {}
        }
    }
    options
}

/// What is to be done: help, version, or a verb with its options read and its operands counted.
pub(crate) fn invocation(split: &Split<'_>, globals: &Globals) -> Result<Invocation, Failure> {
    if globals.version {
        return Ok(Invocation::Print(version()));
    }
    let Some(name) = split.verb.filter(|_| !globals.help) else {
        return Ok(Invocation::Print(global_help(&mut global_command())));
    };
    if name == "help" || name == "h" {
        let help = match split.rest.first() {
            Some(topic) => verb_help(&mut verb_command(find_verb(topic)?)),
            None => global_help(&mut global_command()),
        };
        return Ok(Invocation::Print(help));
    }
    let verb = find_verb(name)?;
    let mut command = verb_command(verb);
    let matches = parse(&mut command, split.rest, verb_help)?;
    if matches.get_flag("help") {
        if commands::checkpoint::is_refused(verb.name) {
            return Ok(Invocation::Verb { verb, matches });
        }
        return Ok(Invocation::Print(verb_help(&mut command)));
    }
    let count = matches.get_many::<String>("operands").map_or(0, |operands| operands.len());
    let (least, most) = (*verb.count.start(), *verb.count.end());
    let wanted = match count {
        _ if verb.count.contains(&count) => return Ok(Invocation::Verb { verb, matches }),
        _ if least == most => format!("exactly {least}"),
        _ if count < least => format!("a minimum of {least}"),
        _ => format!("a maximum of {most}"),
    };
    let message = format!("corten: \"{}\" requires {wanted} argument(s)", verb.name);
    Err(Failure::usage_error(message, &verb_help(&mut command)))
}

fn find_verb(name: &OsStr) -> Result<&'static Verb, Failure> {
    let verb = commands::VERBS.iter().find(|verb| name == verb.name);
    verb.ok_or_else(|| {
        Failure::new(format!("No help topic for '{}'", Path::new(name).display())).with_code(UNKNOWN_VERB)
    })
}

/// In the form of runc's, which engines take apart.
fn version() -> String {
    let version = format!("corten version {}\nspec: {}\n", env!("CARGO_PKG_VERSION"), libcorten::spec::VERSION);
    match Backend::BUILT_IN.library_version() {
        Some(library) => format!("{version}libseccomp: {library}\n"),
        None => version,
    }
}

fn global_help(command: &mut Command) -> String {
    let mut verbs = String::from("\nCOMMANDS:\n");
    for verb in commands::VERBS {
        let _ = writeln!(verbs, "   {:<11} {}", verb.name, verb.about);
    }
    command.render_help().to_string().replace("\nOPTIONS:\n", &format!("{verbs}\nOPTIONS:\n"))
}

fn verb_help(command: &mut Command) -> String {
    let help = command.render_help().to_string();
    help.replacen("   ", "   corten ", 1)
}

fn parse(
    command: &mut Command,
    arguments: &[OsString],
    help: fn(&mut Command) -> String,
) -> Result<ArgMatches, Failure> {
    let result = go_style(command, arguments)
        .and_then(|arguments| command.try_get_matches_from_mut(arguments).map_err(|error| explain(&error)));
    result.map_err(|message| Failure::usage_error(message, &help(command)))
}

/// Turns the forms that only Go's parser accepts into those that clap accepts as well.
fn go_style(command: &Command, arguments: &[OsString]) -> Result<Vec<OsString>, String> {
    // A word, and the switch that it sets if it is one.
    let mut output: Vec<(OsString, Option<&str>)> = Vec::with_capacity(arguments.len());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            output.push((word.clone(), None));
            break;
        }
        if ends_with_a_command(command) && !word.as_encoded_bytes().starts_with(b"-") {
            output.extend([(OsString::from("--"), None), (word.clone(), None)]);
            break;
        }
        let Some((known, name, text)) = known_option(command, word) else {
            if ends_with_a_command(command) && word != "-" {
                // clap would take it for the first operand.
                let name = String::from_utf8_lossy(option_name(word).unwrap_or_default()).into_owned();
                return Err(format!("flag provided but not defined: -{name}"));
            }
            output.push((word.clone(), None));
            continue;
        };
        let dashes = if known.get_long() == Some(name) { "--" } else { "-" };
        let id = known.get_id().as_str();
        match (text.split_once('='), matches!(known.get_action(), ArgAction::SetTrue)) {
            (Some((_, value)), true) => match go_bool(value) {
                Some(true) => output.push((format!("{dashes}{name}").into(), Some(id))),
                // Of a switch given several times the last counts.
                Some(false) => output.retain(|(_, switch)| *switch != Some(id)),
                None => return Err(format!("invalid boolean value {value:?} for -{name}: parse error")),
            },
            (attached, is_switch) => {
                output.push((format!("{dashes}{}", text.trim_start_matches('-')).into(), is_switch.then_some(id)));
                if attached.is_none() && !is_switch {
                    // The value, whatever it looks like.
                    output.extend(words.next().map(|value| (value.clone(), None)));
                }
            }
        }
    }
    Ok(output.into_iter().map(|(word, _)| word).chain(words.cloned()).collect())
}

/// The option that `word` names, with one dash or two; the name without dashes and value; the word.
fn known_option<'a>(command: &'a Command, word: &'a OsStr) -> Option<(&'a Arg, &'a str, &'a str)> {
    let text = word.to_str().filter(|text| text.starts_with('-'))?;
    let name = std::str::from_utf8(option_name(word)?).ok()?;
    let long = command.get_arguments().find(|arg| arg.get_long() == Some(name));
    let short = || command.get_arguments().find(|arg| arg.get_short().is_some_and(|c| name == c.to_string()));
    Some((long.or_else(short)?, name, text))
}

/// The truth values of Go's `strconv.ParseBool`.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// clap's error on one line, worded as Go's flag package does where it has the same error.
fn explain(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    // `--bundle <DIR>` → `bundle`
    let name = context(ContextKind::InvalidArg)
        .map(|arg| arg.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default());
    match (error.kind(), name, context(ContextKind::InvalidValue)) {
        (ErrorKind::UnknownArgument, Some(name), _) => format!("flag provided but not defined: -{name}"),
        (ErrorKind::InvalidValue, Some(name), None | Some("")) => format!("flag needs an argument: -{name}"),
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(name), Some(value)) => {
            format!("invalid value {value:?} for flag -{name}: parse error")
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(|word| OsString::from(if word == "''" { "" } else { word })).collect()
    }

    fn read(line: &str) -> Result<(Globals, Invocation), Failure> {
        let words = words(line);
        let split = split(&words);
        let globals = globals(&split)?;
        let invocation = invocation(&split, &globals)?;
        Ok((globals, invocation))
    }

    fn verb(line: &str) -> (Globals, &'static str, ArgMatches) {
        match read(line) {
            Ok((globals, Invocation::Verb { verb, matches })) => (globals, verb.name, matches),
            Ok((_, Invocation::Print(text))) => panic!("{line}: {text}"),
            Err(failure) => panic!("{line}: {}", failure.message()),
        }
    }

    fn operands(matches: &ArgMatches) -> Vec<&str> {
        matches.get_many::<String>("operands").into_iter().flatten().map(String::as_str).collect()
    }

    #[test]
    fn global_options_in_every_form_that_go_reads() {
        for line in [
            "--root /r --log /l --log-format json --debug --systemd-cgroup state x",
            "-root /r -log /l -log-format json -debug -systemd-cgroup state x",
            "--root=/r --log=/l --log-format=json --debug=true --systemd-cgroup=1 state x",
            "--root /wrong --root /r --log= --log /l --log-format text --log-format=json --debug --systemd-cgroup \
             --rootless false --criu criu state x",
        ] {
            let (globals, name, matches) = verb(line);
            assert_eq!(globals.root, Path::new("/r"), "{line}");
            assert_eq!(
                globals.log,
                LogOptions { file: Some("/l".into()), format: Format::Json, debug: true },
                "{line}"
            );
            assert!(globals.systemd_cgroup, "{line}");
            assert_eq!((name, operands(&matches)), ("state", vec!["x"]), "{line}");
        }
    }

    #[test]
    fn defaults() {
        let (globals, _, matches) = verb("create x");
        assert_eq!(globals.root, libcorten::default_state_root());
        assert_eq!(globals.log, LogOptions::default());
        assert!(!globals.systemd_cgroup);
        assert_eq!(text(&matches, "bundle"), None);
        assert_eq!(matches.get_one::<u32>("preserve-fds"), None);
        let relative = verb("--root r list").0.root;
        assert_eq!(relative, std::env::current_dir().unwrap().join("r"));
    }

    #[test]
    fn options_of_a_verb_stand_before_or_after_its_operands() {
        for line in [
            "create --bundle /b --pid-file p --no-pivot --preserve-fds 2 x",
            "create x --bundle /b --pid-file p --no-pivot --preserve-fds 2",
            "create -b /b -pid-file=p x -no-pivot=true --preserve-fds=2",
            "create -bundle /b --pid-file p --no-pivot --preserve-fds 7 --preserve-fds 2 -- x",
        ] {
            let (_, name, matches) = verb(line);
            assert_eq!((name, operands(&matches)), ("create", vec!["x"]), "{line}");
            assert_eq!(text(&matches, "bundle"), Some(OsStr::new("/b")), "{line}");
            assert_eq!(text(&matches, "pid-file"), Some(OsStr::new("p")), "{line}");
            assert!(matches.get_flag("no-pivot") && !matches.get_flag("no-new-keyring"), "{line}");
            assert_eq!(matches.get_one::<u32>("preserve-fds"), Some(&2), "{line}");
        }
        assert_eq!(text(&verb("create --pid-file '' x").2, "pid-file"), None);
        assert_eq!(text(&verb("create --pid-file -odd x").2, "pid-file"), Some(OsStr::new("-odd")));
        assert_eq!(operands(&verb("kill x -9").2), ["x", "-9"]);
        assert_eq!(operands(&verb("create -- -x").2), ["-x"]);
        assert!(verb("delete x -f").2.get_flag("force"));
        for (line, force) in [
            ("delete x -f=false", false),
            ("delete --force --force=false x", false),
            ("delete -f --force=0 x", false),
            ("delete --force=false --force x", true),
            ("delete -force x -f=T", true),
        ] {
            assert_eq!(verb(line).2.get_flag("force"), force, "{line}");
        }
        assert_eq!(
            text(&verb("create --pid-file --no-pivot=false x").2, "pid-file"),
            Some(OsStr::new("--no-pivot=false"))
        );
        assert!(verb("run -d --keep --no-subreaper x").2.get_flag("detach"));
        assert!(verb("list -q -f json").2.get_flag("quiet"));
    }

    #[test]
    fn wrong_command_lines_end_as_with_runc() {
        for (line, message) in [
            ("--bogus list", "flag provided but not defined: -bogus"),
            ("list --bogus", "flag provided but not defined: -bogus"),
            ("list --bogus=1", "flag provided but not defined: -bogus"),
            ("list x", "corten: \"list\" requires exactly 0 argument(s)"),
            ("state", "corten: \"state\" requires exactly 1 argument(s)"),
            ("state a b", "corten: \"state\" requires exactly 1 argument(s)"),
            ("kill", "corten: \"kill\" requires a minimum of 1 argument(s)"),
            ("kill a b c", "corten: \"kill\" requires a maximum of 2 argument(s)"),
            ("create x --bundle", "flag needs an argument: -bundle"),
            ("create x -b", "flag needs an argument: -bundle"),
            ("create --preserve-fds x y", "invalid value \"x\" for flag -preserve-fds: parse error"),
            ("create --preserve-fds -1 y", "invalid value \"-1\" for flag -preserve-fds: parse error"),
            ("list -q=bogus", "invalid boolean value \"bogus\" for -q: parse error"),
        ] {
            let Err(failure) = read(line) else { panic!("{line} is accepted") };
            assert_eq!(failure.message(), message, "{line}");
            let usage = failure.usage().unwrap_or_default();
            assert!(usage.starts_with(&format!("Incorrect Usage: {message}\n\nNAME:\n   corten")), "{line}: {usage}");
            assert_eq!(failure.exit_code(), std::process::ExitCode::from(1), "{line}");
        }
        for (line, message, code) in [
            ("bogus", "No help topic for 'bogus'", 3),
            ("help bogus", "No help topic for 'bogus'", 3),
            ("--log-format foo list", "invalid log-format: foo", 1),
            ("--rootless foo list", "invalid --rootless foo: not true, false or auto", 1),
        ] {
            let Err(failure) = read(line) else { panic!("{line} is accepted") };
            assert_eq!((failure.message(), failure.usage()), (message, None), "{line}");
            assert_eq!(failure.exit_code(), std::process::ExitCode::from(code), "{line}");
        }
    }

    #[test]
    fn help_and_version() {
        for (line, begin, part) in [
            ("", "NAME:\n   corten - ", "COMMANDS:\n   check "),
            ("--help bogus", "NAME:\n   corten - ", "--systemd-cgroup"),
            ("help", "NAME:\n   corten - ", "-v, --version"),
            ("h list", "NAME:\n   corten list - ", "--quiet"),
            ("list -h", "NAME:\n   corten list - ", "corten list [OPTIONS]\n"),
            ("kill --help", "NAME:\n   corten kill - ", "corten kill [OPTIONS] CONTAINER-ID [SIGNAL]\n"),
            ("--version list", "corten version ", "\nspec: 1.3.0\n"),
            ("-v", "corten version ", env!("CARGO_PKG_VERSION")),
        ] {
            let Ok((_, Invocation::Print(text))) = read(line) else { panic!("{line} prints nothing") };
            assert!(text.starts_with(begin) && text.contains(part), "{line}: {text}");
        }
    }

    #[test]
    fn the_help_of_a_refused_verb_is_refused_as_well() {
        for line in ["checkpoint --help", "checkpoint -h x", "restore --help"] {
            assert!(matches!(read(line), Ok((_, Invocation::Verb { .. }))), "{line}");
        }
        assert!(matches!(read("help checkpoint"), Ok((_, Invocation::Print(_)))));
    }

    #[test]
    fn the_log_is_found_in_a_wrong_command_line() {
        for (line, file, format) in [
            ("--log /l --log-format json --bogus", Some("/l"), Format::Json),
            ("--bogus --log=/l -log-format=json", Some("/l"), Format::Json),
            ("--log-format bogus --log /l", Some("/l"), Format::Text),
            ("--bogus --log", None, Format::Text),
        ] {
            let expected = LogOptions { file: file.map(PathBuf::from), format, debug: false };
            assert_eq!(log_options_in(split(&words(line)).globals), expected, "{line}");
        }
    }
}
