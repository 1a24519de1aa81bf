//! The verbs: one small file each.

mod check;
pub(crate) mod checkpoint;
mod completion;
mod create;
mod delete;
mod doctor;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod new_container;
mod pause;
mod plan;
mod ps;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod update;

use crate::args::Globals;
use crate::failure::Failure;
use crate::log::Log;
use clap::{ArgMatches, Command};
use libcorten::{Bundle, Container, ContainerBuilder};
use std::ffi::OsStr;
use std::io::Write;
use std::ops::RangeInclusive;
use std::process::ExitCode;

/// A verb of the command line.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    /// One line for the help.
    pub(crate) about: &'static str,
    /// The operands as the help shows them.
    pub(crate) operands: &'static str,
    /// How many operands there may be.
    pub(crate) count: RangeInclusive<usize>,
    /// Adds the verb's options.
    pub(crate) options: fn(Command) -> Command,
    pub(crate) run: fn(&Context<'_>) -> Result<ExitCode, Failure>,
}

/// All verbs, in the order of the help.
pub(crate) const VERBS: &[Verb] = &[
    check::VERB,
    checkpoint::CHECKPOINT,
    completion::COMPLETION,
    create::VERB,
    delete::VERB,
    doctor::VERB,
    events::VERB,
    exec::VERB,
    features::VERB,
    kill::VERB,
    list::VERB,
    completion::MAN,
    pause::VERB,
    plan::VERB,
    ps::VERB,
    checkpoint::RESTORE,
    resume::VERB,
    run::VERB,
    spec::VERB,
    start::VERB,
    state::VERB,
    update::VERB,
];

/// What can be said of a verb's options without looking at the machine: those that have a grammar of their own.
#[cfg(any(test, fuzzing))]
pub(crate) fn meaning(verb: &Verb, context: &Context<'_>) -> Result<(), Failure> {
    match verb.name {
        "exec" => exec::meaning(&context.matches),
        "kill" => crate::signal::parse(context.operand(1).unwrap_or("TERM")).map(|_| ()),
        "update" => update::meaning(context),
        _ => Ok(()),
    }
}

/// What a verb works with.
pub(crate) struct Context<'a> {
    pub(crate) globals: &'a Globals,
    pub(crate) log: &'a Log,
    /// The verb's own options and operands.
    pub(crate) matches: ArgMatches,
}

/// The socket of the bus of the caller's own systemd; none for root of the machine, whose is the system's.
pub(crate) fn user_bus() -> Result<Option<String>, Failure> {
    let euid = nix::unistd::geteuid();
    let map = std::fs::read_to_string("/proc/self/uid_map");
    let map = map.map_err(|error| Failure::os("read /proc/self/uid_map", &error))?;
    let of_the_machine = map.split_whitespace().eq(["0", "0", "4294967295"]);
    if euid.is_root() && of_the_machine {
        return Ok(None);
    }
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let address = variable("DBUS_SESSION_BUS_ADDRESS");
    // A list of addresses, each with parameters; only a socket in the file system is of use.
    let path = address.iter().flat_map(|list| list.split(';')).find_map(|address| address.strip_prefix("unix:path="));
    Ok(Some(match (path, variable("XDG_RUNTIME_DIR")) {
        (Some(path), _) => path.split(',').next().unwrap_or(path).to_owned(),
        (None, Some(directory)) => format!("{directory}/bus"),
        (None, None) => format!("/run/user/{euid}/bus"),
    }))
}

impl Context<'_> {
    /// An operand by its place; `None` when it is absent or empty.
    pub(crate) fn operand(&self, index: usize) -> Option<&str> {
        let operand = self.matches.get_many::<String>("operands")?.nth(index)?;
        Some(operand.as_str()).filter(|text| !text.is_empty())
    }

    /// The first operand of a verb that has a container's id there.
    pub(crate) fn id(&self) -> &str {
        self.operand(0).unwrap_or_default()
    }

    /// A new container of that id with what the global options say.
    pub(crate) fn builder(&self, id: &str) -> Result<ContainerBuilder, Failure> {
        let systemd = self.globals.systemd_cgroup;
        let mut builder = Container::builder(id)?.state_root(&self.globals.root).systemd_cgroup(systemd);
        if let Some(observer) = self.log.observer() {
            builder = builder.observer(observer);
        }
        let bus = if systemd { user_bus()? } else { None };
        Ok(match bus {
            Some(bus) => builder.systemd_user_bus(bus),
            None => builder,
        })
    }

    /// Loads a bundle and logs what it warns of.
    fn bundle(&self, dir: &OsStr) -> Result<Bundle, Failure> {
        let bundle = Bundle::open(dir)?;
        for warning in &bundle.spec().warnings {
            self.log.warning(warning);
        }
        let path = bundle.spec().cgroups_path.as_deref().unwrap_or_default();
        if !self.globals.systemd_cgroup && is_of_systemd(path) {
            let meant =
                "is meant for --systemd-cgroup, which is not given: does the engine expect another cgroup driver?";
            self.log.warning(&format!("linux.cgroupsPath: {path:?} {meant}"));
        }
        Ok(bundle)
    }

    /// The container named by the first operand.
    pub(crate) fn container(&self) -> Result<Container, Failure> {
        Ok(self.observed(Container::load(&self.globals.root, self.id())?))
    }

    /// With `--debug` the phases of what is done with it are logged.
    fn observed(&self, mut container: Container) -> Container {
        if let Some(observer) = self.log.observer() {
            container.observe(observer);
        }
        container
    }
}

/// Whether a `cgroupsPath` has the form `SLICE:PREFIX:NAME`. Without systemd it is a directory of that name, as with runc, which
/// surprises everybody: the two ends of an engine do not agree about the driver then.
fn is_of_systemd(path: &str) -> bool {
    let parts: Vec<&str> = path.split(':').collect();
    matches!(parts[..], [slice, _, name] if !path.contains('/') && !name.is_empty() && (slice.is_empty() || slice.ends_with(".slice")))
}

/// Writes to standard output at once: what a failing write would lose must fail the verb.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| Failure::os("write to standard output", &error))?;
    Ok(ExitCode::SUCCESS)
}
