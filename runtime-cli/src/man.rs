//! Manual pages in man(7)'s roff, from the table of verbs and the options of the parser.

use crate::args;
use crate::commands::{VERBS, Verb};
use clap::Command;
use std::fmt::Write;

/// corten(8).
pub(crate) fn overview() -> String {
    let mut text = head("corten", "an OCI container runtime");
    text += ".SH SYNOPSIS\n.B corten\n[\\fIOPTION\\fR ...] \\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]\n";
    text += ".SH DESCRIPTION\nRuns containers as the OCI runtime specification describes them. Container engines call it \
             with the command line of\n.BR runc (8).\n";
    text += &options(&args::global_command());
    text += ".SH COMMANDS\n";
    for verb in VERBS {
        let _ = write!(text, ".TP\n\\fBcorten\\-{}\\fR(8)\n{}\n", escape(verb.name), line(verb.about));
    }
    text += ".SH EXIT STATUS\n0 on success and 1 on failure; 3 for an unknown command. \
             \\fBcorten run\\fR without \\fB\\-\\-detach\\fR ends with the program's own exit status, or 128 + N if signal N ended it.\n";
    text += ".SH FILES\n.TP\n.I /run/corten\nthe state of root's containers; see \\fB\\-\\-root\\fR\n";
    text
}

/// corten-VERB(8).
pub(crate) fn page(verb: &Verb) -> String {
    let mut text = head(&format!("corten-{}", verb.name), verb.about);
    let name = escape(verb.name);
    let _ = write!(text, ".SH SYNOPSIS\n.B corten {name}\n[\\fIOPTION\\fR ...] {}\n", escape(verb.operands));
    let _ = write!(text, ".SH DESCRIPTION\n{}\n", line(&sentence(verb.about)));
    text += &options(&args::verb_command(verb));
    text += ".SH SEE ALSO\n.BR corten (8)\n";
    text
}

fn head(name: &str, about: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let title = escape(&name.to_uppercase());
    format!(
        ".TH \"{title}\" 8 \"\" \"corten {version}\" \"corten\"\n.SH NAME\n{} \\- {}\n",
        escape(name),
        escape(about)
    )
}

fn options(command: &Command) -> String {
    let mut text = String::from(".SH OPTIONS\n");
    for option in command.get_arguments().filter(|arg| arg.get_long().is_some() && !arg.is_hide_set()) {
        let long = option.get_long().unwrap_or_default();
        let names = option.get_short().map(|short| format!("-{short}, ")).unwrap_or_default() + "--" + long;
        let value = match option.get_value_names().and_then(|names| names.first()) {
            Some(value) if option.get_action().takes_values() => format!(" \\fI{}\\fR", escape(value)),
            _ => String::new(),
        };
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(text, ".TP\n\\fB{}\\fR{value}\n{}\n", escape(&names), line(&help));
    }
    text
}

fn sentence(about: &str) -> String {
    let mut letters = about.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect()).unwrap_or_default()
}

/// A line of its own, which must not look like a request.
fn line(text: &str) -> String {
    let text = escape(text);
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_name_what_the_parser_knows() {
        let overview = overview();
        assert!(overview.starts_with(".TH \"CORTEN\" 8 "), "{overview}");
        for verb in VERBS {
            assert!(overview.contains(&format!("\\fBcorten\\-{}\\fR(8)", escape(verb.name))), "{}", verb.name);
            let page = page(verb);
            let command = args::verb_command(verb);
            let shown = command.get_arguments().filter(|option| !option.is_hide_set());
            for option in shown.filter_map(clap::Arg::get_long) {
                assert!(page.contains(&escape(&format!("--{option}"))), "{} --{option}", verb.name);
            }
        }
    }

    #[test]
    fn text_is_never_taken_for_a_request() {
        assert_eq!(line(".SH a-b \\fB"), "\\&.SH a\\-b \\efB");
        assert_eq!(sentence("print it"), "Print it.");
    }
}
