//! Completions for bash, zsh and fish, from the table of verbs.
//!
//! What follows an option is told by the name of its value (`DIR`, `FILE`, `FORMAT` …), what an operand is by its name
//! in the usage line. Ids of containers are asked of `corten list --quiet`, with the `--root` of the line that is completed.

use crate::args::{self, VALUE_GLOBALS};
use crate::commands::{VERBS, Verb};
use clap::{Arg, Command};
use std::fmt::Write;

/// The script for a shell; none for a shell that is not known.
pub(crate) fn script(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

/// What can stand at a place of the command line.
enum Values {
    Directory,
    File,
    Container,
    Signal,
    Shell,
    Verb,
    Words(Vec<String>),
    /// Nothing that could be proposed.
    Free,
}

/// What the value of an option is; none for a switch.
fn value(option: &Arg) -> Option<Values> {
    if !option.get_action().takes_values() {
        return None;
    }
    let name = option.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    Some(match name {
        "DIR" => Values::Directory,
        "FILE" | "SOCKET" | "PATH" => Values::File,
        "FORMAT" => Values::Words(choices(&help(option))),
        _ => Values::Free,
    })
}

/// `text` and `json` of `format of log lines: text or json [default: text]`.
fn choices(help: &str) -> Vec<String> {
    let list = help.split(" [").next().unwrap_or_default();
    let list = list.rsplit(": ").next().unwrap_or_default();
    list.split(" or ").flat_map(|part| part.split(", ")).map(str::to_owned).collect()
}

/// What the operand at a place (from 0) of a usage line such as `CONTAINER-ID [SIGNAL]` is.
fn operand(usage: &str, place: usize) -> Values {
    match usage.split_whitespace().nth(place).unwrap_or_default().trim_matches(['[', ']']) {
        "CONTAINER-ID" => Values::Container,
        "BUNDLE" => Values::Directory,
        "SIGNAL" => Values::Signal,
        "SHELL" => Values::Shell,
        "COMMAND" if !usage.starts_with("CONTAINER-ID") => Values::Verb,
        _ => Values::Free,
    }
}

fn help(option: &Arg) -> String {
    option.get_help().map(ToString::to_string).unwrap_or_default()
}

fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| arg.get_long().is_some() && !arg.is_hide_set())
}

/// `--bundle` and `-b`.
fn names(option: &Arg) -> Vec<String> {
    let long = option.get_long().map(|name| format!("--{name}"));
    let short = option.get_short().map(|name| format!("-{name}"));
    long.into_iter().chain(short).collect()
}

fn verb_names() -> String {
    VERBS.iter().map(|verb| verb.name).collect::<Vec<_>>().join(" ")
}

fn bash() -> String {
    let skip = VALUE_GLOBALS.iter().map(|name| format!("--{name}|-{name}")).collect::<Vec<_>>().join("|");
    let mut text = format!("{BASH_BEGIN}            {skip})\n{BASH_FIND}");
    let global = args::global_command();
    text += "    case $verb in\n";
    text += &bash_case("''", &global, None);
    for verb in VERBS {
        text += &bash_case(verb.name, &args::verb_command(verb), Some(verb));
    }
    text += "    esac\n";
    text + BASH_END
}

/// The case of a verb: what follows each option with a value, and which options and operands there are.
fn bash_case(pattern: &str, command: &Command, verb: Option<&Verb>) -> String {
    let mut text = format!("    {pattern})\n        case $previous in\n");
    let mut with_value = Vec::new();
    for option in options(command) {
        if let Some(value) = value(option) {
            with_value.extend(names(option));
            let _ = writeln!(text, "        {}) {}; return ;;", names(option).join("|"), bash_value(&value));
        }
    }
    text += "        esac\n";
    let all: Vec<String> = options(command).flat_map(names).collect();
    let _ = writeln!(text, "        options='{}'", all.join(" "));
    match verb {
        None => {
            let _ = writeln!(text, "        [[ $current == -* ]] || {{ {}; return; }}", bash_value(&Values::Verb));
        }
        Some(verb) => {
            let _ = writeln!(text, "        _corten_count '{}'\n        case $operands in", with_value.join(" "));
            for place in 0..verb.operands.split_whitespace().count() {
                let value = bash_value(&operand(verb.operands, place));
                let _ = writeln!(text, "        {place}) [[ $current == -* ]] || {{ {value}; return; }} ;;");
            }
            text += "        esac\n";
        }
    }
    text + "        ;;\n"
}

fn bash_value(value: &Values) -> String {
    let words = |words: &str| format!("COMPREPLY=($(compgen -W '{words}' -- \"$current\"))");
    match value {
        Values::Directory => "COMPREPLY=($(compgen -d -- \"$current\"))".into(),
        Values::File => "COMPREPLY=($(compgen -f -- \"$current\"))".into(),
        Values::Container => "COMPREPLY=($(compgen -W \"$(_corten_ids)\" -- \"$current\"))".into(),
        Values::Signal => "COMPREPLY=($(compgen -A signal -- \"$current\"))".into(),
        Values::Shell => words("bash zsh fish"),
        Values::Verb => words(&verb_names()),
        Values::Words(list) => words(&list.join(" ")),
        Values::Free => ":".into(),
    }
}

const BASH_BEGIN: &str = r#"# bash completion of corten, printed by `corten completion bash`
_corten_ids() {
    "${COMP_WORDS[0]}" ${root:+--root "$root"} list --quiet 2>/dev/null
}

# Counts the operands between the verb and the cursor; $1 names the options that take a value.
_corten_count() {
    local i word
    operands=0
    for ((i = verb_at + 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ " $1 " == *" $word "* ]]; then
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((i++))
        elif [[ $word != -* ]]; then
            ((operands++))
        fi
    done
}

_corten() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb= verb_at=0 root= options= operands=0 i
    COMPREPLY=()
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]] && ((COMP_CWORD > 1)); then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
"#;

const BASH_FIND: &str = r#"                [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
                [[ ${COMP_WORDS[i]} == = || ${COMP_WORDS[i]} == *root ]] && [[ ${COMP_WORDS[i]}${COMP_WORDS[i - 1]} == *root* ]] && root=${COMP_WORDS[i + 1]}
                ((i++)) ;;
            -*) ;;
            *) verb=${COMP_WORDS[i]} verb_at=$i; break ;;
        esac
    done
"#;

const BASH_END: &str = r#"    COMPREPLY=($(compgen -W "$options" -- "$current"))
}
complete -o filenames -F _corten corten
"#;

/// Between single quotes.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

fn zsh() -> String {
    let mut text = String::from(ZSH_BEGIN);
    text += "    local -a verbs=(\n";
    for verb in VERBS {
        let _ = writeln!(text, "        '{}:{}'", verb.name, quoted(verb.about));
    }
    text += "    )\n    _arguments -C -S";
    text += &zsh_options(&args::global_command());
    text += " \\\n        '1:command:->verb' '*::argument:->rest'\n";
    text += "    case $state in\n    verb) _describe command verbs ;;\n    rest)\n        case $words[1] in\n";
    for verb in VERBS {
        let _ = write!(text, "        {}) _arguments -S{}", verb.name, zsh_options(&args::verb_command(verb)));
        for place in 0..verb.operands.split_whitespace().count() {
            let value = zsh_value(&operand(verb.operands, place));
            let _ = write!(text, " \\\n            '{}:operand:{value}'", place + 1);
        }
        text += " ;;\n";
    }
    text += "        esac ;;\n    esac\n}\n\n_corten \"$@\"\n";
    text
}

fn zsh_options(command: &Command) -> String {
    let mut text = String::new();
    for option in options(command) {
        let help = quoted(&help(option)).replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
        for name in names(option) {
            // `=` after a long option: the value may be attached.
            let (attach, value) = match value(option) {
                None => ("", String::new()),
                Some(value) => {
                    (if name.starts_with("--") { "=" } else { "+" }, format!(":value:{}", zsh_value(&value)))
                }
            };
            let _ = write!(text, " \\\n            '{name}{attach}[{help}]{value}'");
        }
    }
    text
}

fn zsh_value(value: &Values) -> String {
    match value {
        Values::Directory => "_files -/".into(),
        Values::File => "_files".into(),
        Values::Container => "_corten_ids".into(),
        Values::Signal => "_signals".into(),
        Values::Shell => "(bash zsh fish)".into(),
        Values::Verb => format!("({})", verb_names()),
        Values::Words(list) => format!("({})", list.join(" ")),
        Values::Free => " ".into(),
    }
}

const ZSH_BEGIN: &str = r#"#compdef corten
# zsh completion of corten, printed by `corten completion zsh`
_corten_ids() {
    local -a ids=(${(f)"$(command corten ${opt_args[--root]:+--root} ${opt_args[--root]} list --quiet 2>/dev/null)"})
    compadd -a ids
}

_corten() {
    local context state line
    typeset -A opt_args
"#;

fn fish() -> String {
    let mut text = String::from("# fish completion of corten, printed by `corten completion fish`\n");
    text += "complete -c corten -f\n";
    text += &fish_options("__fish_use_subcommand", &args::global_command());
    for verb in VERBS {
        let about = quoted(verb.about).replace("'\\''", "\\'");
        let _ = writeln!(text, "complete -c corten -n __fish_use_subcommand -a {} -d '{about}'", verb.name);
        let seen = format!("'__fish_seen_subcommand_from {}'", verb.name);
        text += &fish_options(&seen, &args::verb_command(verb));
        for place in 0..verb.operands.split_whitespace().count() {
            if let Some(value) = fish_value(&operand(verb.operands, place)) {
                let _ = writeln!(text, "complete -c corten -n {seen} {value}");
            }
        }
    }
    text
}

fn fish_options(condition: &str, command: &Command) -> String {
    let mut text = String::new();
    for option in options(command) {
        let _ = write!(text, "complete -c corten -n {condition}");
        if let Some(long) = option.get_long() {
            let _ = write!(text, " -l {long}");
        }
        if let Some(short) = option.get_short() {
            let _ = write!(text, " -s {short}");
        }
        if let Some(value) = value(option) {
            let _ = write!(text, " -r {}", fish_value(&value).unwrap_or_default());
        }
        let _ = writeln!(text, " -d '{}'", help(option).replace('\'', "\\'"));
    }
    text
}

fn fish_value(value: &Values) -> Option<String> {
    Some(match value {
        Values::Directory => "-a '(__fish_complete_directories)'".into(),
        Values::File => "-F".into(),
        Values::Container => "-a '(corten list --quiet 2>/dev/null)'".into(),
        Values::Signal => "-a 'TERM KILL INT HUP QUIT USR1 USR2 STOP CONT'".into(),
        Values::Shell => "-a 'bash zsh fish'".into(),
        Values::Verb => format!("-a '{}'", verb_names()),
        Values::Words(list) => format!("-a '{}'", list.join(" ")),
        Values::Free => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_and_option_is_in_every_script() {
        for shell in ["bash", "zsh", "fish"] {
            let script = script(shell).unwrap();
            for verb in VERBS {
                assert!(script.contains(verb.name), "{shell}: {}", verb.name);
                for option in options(&args::verb_command(verb)) {
                    let long = option.get_long().unwrap();
                    let written = script.contains(&format!("--{long}")) || script.contains(&format!("-l {long}"));
                    assert!(written, "{shell}: {} --{long}", verb.name);
                }
            }
        }
        assert!(script("tcsh").is_none());
    }

    #[test]
    fn the_choices_of_every_format_are_words() {
        for verb in VERBS {
            let command = args::verb_command(verb);
            for option in options(&command) {
                if let Some(Values::Words(words)) = value(option) {
                    let good = words.len() > 1
                        && words.iter().all(|word| word.chars().all(|c| c.is_alphanumeric() || c == '-'));
                    assert!(good, "{} {:?}: {words:?}", verb.name, option.get_long());
                }
            }
        }
        assert_eq!(choices("format of log lines: text or json [default: text]"), ["text", "json"]);
    }
}
