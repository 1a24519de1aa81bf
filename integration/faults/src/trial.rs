//! What is tried: a fault at a step, or a call that is not there.

use crate::trace::{Fault, Other, Step};
use crate::{explained, missing};

/// What is tried.
pub(crate) enum Trial<'a> {
    /// A fault at a step.
    One(&'a Step, Fault),
    /// All these calls fail with the error.
    All(Vec<&'static str>, i32),
}

impl Trial<'_> {
    /// The fault that it is.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Trial::One(_, fault) => *fault,
            Trial::All(_, errno) => Fault::Errno(*errno),
        }
    }

    /// For a report.
    pub(crate) fn shown(&self) -> String {
        match self {
            Trial::One(step, fault) => shown(step, *fault),
            Trial::All(calls, errno) => {
                format!("without {} {:?}", calls.join(","), nix::errno::Errno::from_raw(*errno))
            }
        }
    }
}

/// All calls of a kind are missing, on an older kernel or within a container.
pub(crate) fn without_calls() -> Vec<Trial<'static>> {
    let with = |errno: i32| missing::sets().into_iter().map(move |calls| Trial::All(calls, errno));
    with(libc::ENOSYS).chain(with(libc::EPERM)).collect()
}

/// Another command comes at a step.
pub(crate) fn meanwhile(steps: &[Step]) -> Vec<Trial<'_>> {
    let others = [Other::State, Other::Kill, Other::DeleteForce];
    steps.iter().flat_map(|step| others.map(|other| Trial::One(step, Fault::Meanwhile(other)))).collect()
}

/// Each fault at each step.
pub(crate) fn faults(steps: &[Step]) -> Vec<Trial<'_>> {
    steps.iter().flat_map(|step| faults_at(step).into_iter().map(|fault| Trial::One(step, fault))).collect()
}

/// The faults that are tried at a step.
fn faults_at(step: &Step) -> Vec<Fault> {
    let errnos = crate::calls::errnos(step.number).iter().filter(|errno| !explained::is_a_lie(step, **errno));
    let mut faults: Vec<Fault> = errnos.map(|errno| Fault::Errno(*errno)).collect();
    faults.push(Fault::KillLauncher);
    if step.apart {
        faults.push(Fault::KillCaller);
    }
    faults.push(Fault::Delay);
    faults
}

fn shown(step: &Step, fault: Fault) -> String {
    let fault = match fault {
        Fault::Errno(errno) => format!("{:?}", nix::errno::Errno::from_raw(errno)),
        other => format!("{other:?}"),
    };
    format!("process {} call {} {} {fault}", step.process, step.ordinal, step.text)
}
