//! `corten completion` and `corten man`: texts made from the definitions that the parser itself uses.

use super::{Context, Verb, print};
use crate::failure::Failure;
use crate::{completion, man};
use std::process::ExitCode;

pub(super) const COMPLETION: Verb = Verb {
    name: "completion",
    about: "print the completions for a shell: bash, zsh or fish",
    operands: "SHELL",
    count: 1..=1,
    options: |command| command,
    run: print_completion,
};

pub(super) const MAN: Verb = Verb {
    name: "man",
    about: "print the manual page of corten, or of one of its commands, for man(1)",
    operands: "[COMMAND]",
    count: 0..=1,
    options: |command| command,
    run: print_man,
};

fn print_completion(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let shell = context.operand(0).unwrap_or_default();
    let script = completion::script(shell);
    print(&script.ok_or_else(|| Failure::new(format!("unknown shell {shell:?}: not bash, zsh or fish")))?)
}

fn print_man(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let page = match context.operand(0) {
        None => man::overview(),
        Some(name) => {
            let verb = super::VERBS.iter().find(|verb| verb.name == name);
            man::page(verb.ok_or_else(|| Failure::new(format!("there is no command {name:?}")))?)
        }
    };
    print(&page)
}
