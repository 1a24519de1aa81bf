//! A container's cgroup made by systemd: a transient scope, asked for over D-Bus.
//!
//! A scope has to have a process from the beginning, so it is started with the container's init in it, and the
//! directory exists only then. Every request is bounded by a time; systemd's answer that a job was queued is not its
//! end, which a signal tells (org.freedesktop.systemd1(5)).
//!
//! The name of a scope can be taken, and after a crash or the container's end be somebody else's by now. So each carries a
//! random mark in its description, recorded before the scope is asked for, and what does not carry it is never stopped.
//! Its cgroup has the mark as an extended attribute, so that to kill what is in it needs no question to systemd.

mod bus;
mod message;
#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::cgroup::{IDLE, SystemdScope, Value};
use crate::sys::xattr;
use bus::{Bus, Failure};
use message::{Method, Reader, Writer};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long systemd may take for one request of ours, from connecting to the end of the job.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a scope of our name that is on its way out may take.
const PATIENCE_FOR_NAME: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// The version that takes the weight of an idle group.
const KNOWS_IDLE: u32 = 252;

/// Of the cgroup, with the mark: the first one that the file system takes. Version 1 has only those of the second kind,
/// which are for root alone, as is systemd there.
const ATTRIBUTES: [&CStr; 2] = [c"user.corten.mark", c"trusted.corten.mark"];

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";

/// The scope of a container, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope {
    /// The unit's name.
    unit: String,
    /// The socket of its manager's bus.
    bus: String,
    /// In the description of the unit that is ours.
    mark: String,
}

/// Fails where systemd is not what runs the machine.
pub(crate) fn must_run() -> Result<()> {
    let path = "/run/systemd/system";
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::os(format!("examine {path}"), error));
        }
        _ => {}
    }
    let text = "systemd cgroup flag passed, but systemd support for managing cgroups is not available";
    Err(Error::new(ErrorKind::Unsupported, text).hint(format!("there is no {path}")))
}

impl Scope {
    /// The scope of the plan, with a mark of its own. Nothing is asked of systemd yet.
    pub(super) fn of(plan: &SystemdScope) -> Scope {
        let mark = match crate::sys::random::bytes() {
            Ok(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            // Nobody is to guess it, it has only to be another one each time.
            Err(_) => format!("{}-{:?}", std::process::id(), std::time::SystemTime::now()),
        };
        Scope { unit: plan.unit.clone(), bus: plan.bus.clone(), mark }
    }

    /// Puts the mark on the cgroup that systemd made.
    pub(super) fn mark(&self, directory: &Path) -> Result<()> {
        for attribute in ATTRIBUTES {
            match xattr::set(directory, attribute, self.mark.as_bytes()) {
                Err(Errno::EOPNOTSUPP) => {}
                done => return done.map_err(|e| Error::os(format!("mark the cgroup {}", directory.display()), e)),
            }
        }
        // The description alone has the mark: see `has_marked`.
        Ok(())
    }

    /// Whether the cgroup of that path is still the one that was marked.
    pub(super) fn has_marked(&self, directory: &Path) -> Result<bool> {
        for attribute in ATTRIBUTES {
            match xattr::is(directory, attribute, self.mark.as_bytes()) {
                Err(Errno::ENOENT) => return Ok(false),
                Err(Errno::EOPNOTSUPP) => {}
                done => {
                    return done.map_err(|e| Error::os(format!("look for the mark of {}", directory.display()), e));
                }
            }
        }
        // A file system without attributes: systemd itself has to be asked.
        let mut manager = Manager::connect(&self.bus)?;
        let Some(unit) = manager.unit(&self.unit)? else { return Ok(false) };
        let description = manager.property(&unit, "org.freedesktop.systemd1.Unit", "Description")?;
        Ok(description.is_some_and(|description| description == self.description()))
    }

    /// The error of a command that would change somebody else's unit.
    pub(super) fn is_not_ours(&self) -> Error {
        let text = format!("the systemd unit {} is gone, or somebody else's by now", self.unit);
        Error::new(ErrorKind::WrongStatus, text)
    }

    fn description(&self) -> String {
        format!("corten container {}", self.mark)
    }

    /// Starts it with the process `pid` in it.
    pub(super) fn start(
        &self,
        plan: &SystemdScope,
        version_1: bool,
        limits: Vec<(String, Value)>,
        pid: i32,
    ) -> Result<()> {
        let mut manager = Manager::connect(&self.bus)?;
        let mut properties = vec![
            ("Description".to_owned(), Value::Text(self.description())),
            ("Slice".to_owned(), Value::Text(plan.slice.clone())),
            ("PIDs".to_owned(), Value::Pids(vec![pid.unsigned_abs()])),
            ("Delegate".to_owned(), Value::Bool(true)),
            ("DefaultDependencies".to_owned(), Value::Bool(false)),
            ("MemoryAccounting".to_owned(), Value::Bool(true)),
            ("TasksAccounting".to_owned(), Value::Bool(true)),
            (if version_1 { "BlockIOAccounting" } else { "IOAccounting" }.to_owned(), Value::Bool(true)),
            // One that failed, such as by running out of memory, is not kept.
            ("CollectMode".to_owned(), Value::Text("inactive-or-failed".to_owned())),
        ];
        properties.extend(manager.known(limits)?);
        // Last, so that who writes them decides; systemd takes the last of two.
        properties.retain(|(name, _)| !plan.properties.iter().any(|(asked, _)| asked == name));
        properties.extend(plan.properties.iter().cloned());
        let what = || format!("start the systemd unit {}", self.unit);
        let deadline = Instant::now() + PATIENCE_FOR_NAME;
        loop {
            match manager.start_transient(&self.unit, &properties) {
                Ok(job) => return manager.wait(&job).map_err(|error| error.context(what())),
                Err(failure) if failure.is("UnitExists") => {
                    if !manager.make_way(&self.unit)? || Instant::now() >= deadline {
                        return Err(self.is_taken(failure.into_error("start it")));
                    }
                }
                Err(failure) => return Err(failure.into_error(&what())),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Somebody else has the unit, or processes in a cgroup of its name.
    pub(super) fn is_taken(&self, cause: Error) -> Error {
        let text = format!("the systemd unit {} exists already", self.unit);
        Error::config("linux.cgroupsPath", text).because(cause)
    }

    /// Sets properties until the next boot.
    pub(super) fn set(&self, properties: &[(String, Value)]) -> Result<()> {
        if properties.is_empty() {
            return Ok(());
        }
        let mut manager = Manager::connect(&self.bus)?;
        let properties = manager.known(properties.to_vec())?;
        let mut body = Writer::default();
        body.text(&self.unit);
        body.u32(1); // --runtime
        body.properties(&properties);
        let result = manager.call("SetUnitProperties", "sba(sv)", body);
        result
            .map(drop)
            .map_err(|failure| failure.into_error(&format!("set properties of the systemd unit {}", self.unit)))
    }

    /// Stops it. Gives whether the cgroup is ours to remove: it is not when the unit of the name is somebody else's.
    pub(super) fn stop(&self) -> Result<bool> {
        let mut manager = Manager::connect(&self.bus)?;
        let what = || format!("stop the systemd unit {}", self.unit);
        let Some(unit) = manager.unit(&self.unit)? else { return Ok(true) };
        match manager.property(&unit, "org.freedesktop.systemd1.Unit", "Description")? {
            None => return Ok(true),
            Some(description) if description != self.description() => {
                // One that went between the two calls was loaded by the second, from nothing.
                let state = manager.property(&unit, "org.freedesktop.systemd1.Unit", "LoadState")?;
                return Ok(state.is_none_or(|state| state == "not-found"));
            }
            Some(_) => {}
        }
        match manager.job("StopUnit", &self.unit) {
            Ok(job) => manager.wait(&job).map_err(|error| error.context(what()))?,
            Err(failure) if failure.is("NoSuchUnit") => {}
            Err(failure) => return Err(failure.into_error(&what())),
        }
        manager.reset_failed(&self.unit);
        Ok(true)
    }
}

/// A service manager.
struct Manager {
    bus: Bus,
}

impl Manager {
    fn connect(address: &str) -> Result<Manager> {
        Manager::connect_within(address, PATIENCE)
    }

    fn connect_within(address: &str, patience: Duration) -> Result<Manager> {
        let mut bus = Bus::connect(address, patience)?;
        // Before any job, so that its end cannot be missed.
        bus.subscribe("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'")?;
        Ok(Manager { bus })
    }

    fn call(&mut self, member: &str, signature: &str, body: Writer) -> Result<Vec<u8>, Failure> {
        self.bus.call(&Method { destination: SYSTEMD, path: ROOT, interface: MANAGER, member, signature }, body)
    }

    /// Without those that this systemd is too old for, and would refuse: what they stand for is in the files alone then.
    fn known(&mut self, mut properties: Vec<(String, Value)>) -> Result<Vec<(String, Value)>> {
        let is_idle = |(name, value): &(String, Value)| name == "CPUWeight" && *value == Value::U64(IDLE);
        if properties.iter().any(is_idle) && self.version()? < KNOWS_IDLE {
            properties.retain(|property| !is_idle(property));
        }
        Ok(properties)
    }

    /// The number of `257.9-1~deb13u1` or `v239`.
    fn version(&mut self) -> Result<u32> {
        let text = self.property(ROOT, MANAGER, "Version")?.unwrap_or_default();
        let text = text.trim_start_matches(|first: char| !first.is_ascii_digit());
        let end = text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
        Ok(text.get(..end).and_then(|number| number.parse().ok()).unwrap_or_default())
    }

    fn start_transient(&mut self, unit: &str, properties: &[(String, Value)]) -> Result<String, Failure> {
        let mut body = Writer::default();
        body.text(unit);
        body.text("replace");
        body.properties(properties);
        body.array(8, |_| {});
        self.call("StartTransientUnit", "ssa(sv)a(sa(sv))", body).and_then(|body| path(&body))
    }

    fn job(&mut self, member: &str, unit: &str) -> Result<String, Failure> {
        let mut body = Writer::default();
        body.text(unit);
        body.text("replace");
        self.call(member, "ss", body).and_then(|body| path(&body))
    }

    /// Waits until a job has ended.
    fn wait(&mut self, job: &str) -> Result<()> {
        loop {
            let signal = self.bus.signal()?;
            if signal.member != "JobRemoved" {
                continue;
            }
            let mut body = Reader::new(&signal.body);
            let (_id, removed, _unit, result) = (body.u32(), body.text(), body.text(), body.text());
            if removed != Some(job) {
                continue;
            }
            return match result {
                Some("done") => Ok(()),
                result => {
                    let text = format!("systemd's job ended with {:?}", result.unwrap_or("nothing"));
                    Err(Error::new(ErrorKind::Os, text))
                }
            };
        }
    }

    /// The object of a unit that is loaded.
    fn unit(&mut self, name: &str) -> Result<Option<String>> {
        let mut body = Writer::default();
        body.text(name);
        match self.call("GetUnit", "s", body).and_then(|body| path(&body)) {
            Ok(path) => Ok(Some(path)),
            Err(failure) if failure.is("NoSuchUnit") => Ok(None),
            Err(failure) => Err(failure.into_error(&format!("look for the systemd unit {name}"))),
        }
    }

    /// A property that is a string; none when the unit is gone by now.
    fn property(&mut self, object: &str, interface: &str, name: &str) -> Result<Option<String>> {
        let mut body = Writer::default();
        body.text(interface);
        body.text(name);
        let method = Method {
            destination: SYSTEMD,
            path: object,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            signature: "ss",
        };
        match self.bus.call(&method, body) {
            Ok(body) => Ok(Some(Reader::new(&body).variant_text().unwrap_or_default().to_owned())),
            Err(Failure::Refused(error, _)) if error.ends_with("UnknownObject") || error.ends_with("NoSuchUnit") => {
                Ok(None)
            }
            Err(failure) => Err(failure.into_error(&format!("read {name} of a systemd unit"))),
        }
    }

    /// Whether the unit that has our name is about to let it go: a failed one is made to.
    fn make_way(&mut self, name: &str) -> Result<bool> {
        let Some(unit) = self.unit(name)? else { return Ok(true) };
        let state = self.property(&unit, "org.freedesktop.systemd1.Unit", "ActiveState")?;
        match state.as_deref() {
            Some("failed") => {
                self.reset_failed(name);
                Ok(true)
            }
            None | Some("inactive" | "deactivating") => Ok(true),
            Some(_) => Ok(false),
        }
    }

    /// That there is nothing to reset is what one hopes for.
    fn reset_failed(&mut self, name: &str) {
        let mut body = Writer::default();
        body.text(name);
        let _ = self.call("ResetFailedUnit", "s", body);
    }
}

/// The object path that a method returned.
fn path(body: &[u8]) -> Result<String, Failure> {
    let fault = || Failure::Broken(Error::new(ErrorKind::Os, "systemd answered with something else than a path"));
    Reader::new(body).text().map(str::to_owned).ok_or_else(fault)
}
