//! `corten exec`

use super::new_container::{connect, preserved};
use super::{Context, Verb};
use crate::announcement::Announcement;
use crate::args::{command_operands, option, repeated, switch, text, texts};
use crate::failure::Failure;
use crate::foreground;
use clap::ArgMatches;
use libcorten::ExecBuilder;
use libcorten::cgroup::SubCgroup;
use libcorten::spec::CapSet;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

/// runc's exit code when the program does not run.
const FAILED: u8 = 255;

pub(super) const VERB: Verb = Verb {
    name: "exec",
    about: "run one more program in a container",
    operands: "CONTAINER-ID COMMAND [ARGUMENTS]",
    count: 1..=usize::MAX,
    options: |command| {
        command
            .arg(option("console-socket", "SOCKET", "AF_UNIX socket to send the terminal's master to"))
            .arg(option("cwd", "DIR", "working directory in the container"))
            .arg(repeated("env", "NAME=VALUE", "set an environment variable").short('e'))
            .arg(switch("tty", "allocate a terminal").short('t'))
            .arg(option("user", "UID[:GID]", "user and group, as numbers").short('u'))
            .arg(
                repeated("additional-gids", "GID", "add a supplementary group")
                    .short('g')
                    .value_parser(clap::value_parser!(i64)),
            )
            .arg(option("process", "FILE", "run the process that FILE describes in JSON").short('p'))
            .arg(switch("detach", "return when the program has been started").short('d'))
            .arg(option("pid-file", "FILE", "write the program's pid to FILE"))
            .arg(option("pidfd-socket", "SOCKET", "AF_UNIX socket to send a pidfd of the program to"))
            .arg(option("process-label", "LABEL", "SELinux label of the program"))
            .arg(option("apparmor", "PROFILE", "AppArmor profile of the program"))
            .arg(switch("no-new-privs", "let the program gain no privileges"))
            .arg(repeated("cap", "CAPABILITY", "add a capability").short('c'))
            .arg(
                option("preserve-fds", "N", "pass N descriptors more than stdio and $LISTEN_FDS [default: 0]")
                    .value_parser(clap::value_parser!(u32)),
            )
            .arg(repeated("cgroup", "[CONTROLLER:]PATH", "run in an existing cgroup below the container's"))
            .arg(switch("ignore-paused", "do it in a paused container as well, and wait until it is resumed"))
            .arg(command_operands())
    },
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    exec(context).map_err(|failure| Failure::new(format!("exec failed: {}", failure.message())).with_code(FAILED))
}

fn exec(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let matches = &context.matches;
    let container = context.container()?;
    let process_file = text(matches, "process");
    let (mut builder, terminal) = match process_file {
        Some(path) => {
            let process = read_process(path)?;
            let terminal = wants_terminal(&process);
            (container.exec_process(process), terminal)
        }
        None => {
            let arguments: Vec<String> =
                matches.get_many::<String>("operands").into_iter().flatten().skip(1).cloned().collect();
            if arguments.is_empty() {
                return Err(Failure::new("process args cannot be empty"));
            }
            (adjusted(container.exec(arguments), context)?, matches.get_flag("tty"))
        }
    };
    let (detach, console_socket) = (matches.get_flag("detach"), text(matches, "console-socket"));
    match (detach && terminal, console_socket) {
        (true, None) => {
            return Err(Failure::new("cannot allocate tty if corten will detach without setting console socket"));
        }
        (false, Some(_)) => {
            return Err(Failure::new("cannot use console socket if corten will not detach or allocate tty"));
        }
        _ => {}
    }
    let (activated, asked) = preserved(matches)?;
    builder = builder.listen_fds(activated).preserve_fds(asked).ignore_paused(matches.get_flag("ignore-paused"));
    if let Some(cgroup) = sub_cgroup(&texts(matches, "cgroup")?)? {
        builder = builder.cgroup(cgroup);
    }
    // Connected now, while there is nothing to undo.
    let announcement = Announcement {
        pid_file: text(matches, "pid-file").map(PathBuf::from),
        pidfd_socket: text(matches, "pidfd-socket").map(|path| connect("pidfd", path)).transpose()?,
    };
    if let Some(path) = console_socket {
        builder = builder.console_socket(connect("console", path)?);
    }
    if detach {
        announcement.make_of_added(builder.spawn()?)?;
        Ok(ExitCode::SUCCESS)
    } else if terminal {
        foreground::exec_on_terminal(builder, announcement, context.log)
    } else {
        foreground::exec(builder, announcement, context.log)
    }
}

/// What the options change of the container's own process; with `--process` they are not looked at, as by runc.
fn adjusted<'a>(mut builder: ExecBuilder<'a>, context: &Context<'_>) -> Result<ExecBuilder<'a>, Failure> {
    let matches = &context.matches;
    if let Some(cwd) = utf8(matches, "cwd")? {
        builder = builder.cwd(cwd);
    }
    for variable in texts(matches, "env")? {
        builder = builder.env(variable);
    }
    if let Some((uid, gid)) = utf8(matches, "user")?.map(user).transpose()? {
        builder = builder.uid(uid);
        if let Some(gid) = gid {
            builder = builder.gid(gid);
        }
    }
    for gid in matches.get_many::<i64>("additional-gids").into_iter().flatten() {
        builder = builder.additional_gid(id_number("additional gid", *gid)?);
    }
    if matches.get_flag("no-new-privs") {
        builder = builder.no_new_privileges(true);
    }
    if let Some(profile) = utf8(matches, "apparmor")? {
        builder = builder.apparmor_profile(profile);
    }
    if let Some(label) = utf8(matches, "process-label")? {
        builder = builder.selinux_label(label);
    }
    let mut unknown = Vec::new();
    for name in texts(matches, "cap")? {
        match CapSet::of_name(&name) {
            Some(capability) => builder = builder.capabilities(capability),
            None => unknown.push(name),
        }
    }
    if !unknown.is_empty() {
        context.log.warning(&format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" ")));
    }
    Ok(builder)
}

fn utf8<'a>(matches: &'a ArgMatches, name: &str) -> Result<Option<&'a str>, Failure> {
    let text = text(matches, name);
    text.map(|value| value.to_str().ok_or_else(|| Failure::new(format!("--{name}: not UTF-8")))).transpose()
}

/// What the options mean that have a grammar of their own.
#[cfg(any(test, fuzzing))]
pub(super) fn meaning(matches: &ArgMatches) -> Result<(), Failure> {
    utf8(matches, "user")?.map(user).transpose()?;
    for gid in matches.get_many::<i64>("additional-gids").into_iter().flatten() {
        id_number("additional gid", *gid)?;
    }
    texts(matches, "env")?;
    texts(matches, "cap")?.iter().for_each(|name| _ = CapSet::of_name(name));
    sub_cgroup(&texts(matches, "cgroup")?).map(|_| ())
}

/// `UID` or `UID:GID`.
fn user(text: &str) -> Result<(u32, Option<u32>), Failure> {
    match text.split_once(':') {
        Some((uid, gid)) => {
            let gid = id("gid", gid)?;
            Ok((id("uid", uid)?, Some(gid)))
        }
        None => Ok((id("uid", text)?, None)),
    }
}

/// A user or group: a number, never a name, so that an image cannot say who that is. A sign is read as by Go; a number
/// that does not fit is refused, where runc takes it modulo 2^32 and makes root of 4294967296.
fn id(what: &str, text: &str) -> Result<u32, Failure> {
    let number = text.parse::<i64>().map_err(|_| {
        let failure = Failure::new(format!("parsing {text} as int for {what} failed: invalid syntax"));
        failure.hint("a number is wanted: what a name means the image would decide")
    })?;
    id_number(what, number)
}

fn id_number(what: &str, number: i64) -> Result<u32, Failure> {
    let range = || Failure::new(format!("{what} {number}: uids and gids must be in range 0-4294967294"));
    // The last number means "leave it" to the kernel, see setresuid(2).
    u32::try_from(number).ok().filter(|id| *id != u32::MAX).ok_or_else(range)
}

/// `PATH` or `CONTROLLER[,CONTROLLER…]:PATH`, the latter several times.
fn sub_cgroup(values: &[String]) -> Result<Option<SubCgroup>, Failure> {
    let invalid = |value: &str, why: &str| Failure::new(format!("invalid --cgroup argument: {value}{why}"));
    if let [value] = values {
        if !value.contains(':') {
            return Ok(Some(SubCgroup::Everywhere(value.clone())));
        }
    }
    let mut controllers = BTreeMap::new();
    for value in values {
        let Some((names, path)) = value.split_once(':') else {
            return Err(invalid(value, " (missing <controller>: prefix)"));
        };
        if path.contains(':') {
            return Err(invalid(value, ""));
        }
        for name in names.split(',') {
            if controllers.insert(name.to_owned(), path.to_owned()).is_some() {
                return Err(invalid(value, &format!(": controller {name} specified multiple times")));
            }
        }
    }
    Ok((!controllers.is_empty()).then_some(SubCgroup::Controllers(controllers)))
}

/// A process is never this large; a file that never ends must not exhaust memory.
const PROCESS_LIMIT: u64 = 16 << 20;

fn read_process(path: &OsStr) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let failed = |error| Failure::os(format_args!("open {}", PathBuf::from(path).display()), &error);
    let mut process = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(PROCESS_LIMIT).read_to_end(&mut process).map_err(failed)?;
    Ok(process)
}

/// Whether the process has a terminal; what is wrong with it otherwise the library tells.
fn wants_terminal(process: &[u8]) -> bool {
    libcorten::spec::parse_process(process).is_ok_and(|process| process.terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        for (text, number) in [("0", 0), ("1", 1), ("+1", 1), ("007", 7), ("4294967294", 4_294_967_294)] {
            assert_eq!(id("uid", text).unwrap(), number);
        }
        for text in ["", "root", "1x", " 1", "0x1", "1.0", "-1", "4294967295", "4294967296", "99999999999999999999"] {
            id("uid", text).unwrap_err();
        }
    }

    #[test]
    fn cgroups_below_the_containers() {
        let values = |list: &[&str]| sub_cgroup(&list.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        assert_eq!(values(&[]).unwrap(), None);
        assert_eq!(values(&["a/b"]).unwrap(), Some(SubCgroup::Everywhere("a/b".into())));
        let two = BTreeMap::from([("cpu", "x"), ("cpuacct", "x"), ("pids", "y")].map(|(c, p)| (c.into(), p.into())));
        assert_eq!(values(&["cpu,cpuacct:x", "pids:y"]).unwrap(), Some(SubCgroup::Controllers(two)));
        for wrong in [&["a:b:c"][..], &["a", "b"], &["cpu:a", "b"], &["cpu:a", "cpu:b"]] {
            values(wrong).unwrap_err();
        }
    }
}
