//! Timing several programs so that they can be compared.
//!
//! Neighbours, caches and clock frequency change within seconds. So the programs take turns, one run each per round, and
//! a ratio is taken within a round, between runs a few milliseconds apart. The kernel is still taking a container apart
//! (its network namespace, its mounts) when the next one starts, so nobody may always follow the same neighbour: see
//! [`order`].

use crate::bundle::WITNESS;
use crate::process::{checked, timed};
use crate::program::{Program, shown};
use crate::summary::Summary;
use crate::{Result, lifecycle};
use std::path::Path;

/// Rounds that are thrown away, to fill caches.
const WARM_UP: usize = 3;

/// The times of one program: one per round, in milliseconds.
pub type Times = Result<Vec<f64>>;

/// Runs `programs` for `rounds` rounds. A program that fails once is out; its message takes the place of its times.
pub fn interleave(programs: &[Program], rounds: usize) -> Vec<Times> {
    let mut times: Vec<Times> = programs.iter().map(|program| trial(program).map(|()| Vec::new())).collect();
    for round in 0..WARM_UP + rounds {
        for index in order(round, programs.len()) {
            let (Some(program), Some(slot)) = (programs.get(index), times.get_mut(index)) else { continue };
            let Ok(sample) = slot else { continue };
            let id = lifecycle::fresh_id();
            match timed(program.run(&id)) {
                Ok(took) if round >= WARM_UP => sample.push(took.as_secs_f64() * 1e3),
                Ok(_) => {}
                Err(message) => {
                    lifecycle::discard(program, &id);
                    *slot = Err(message);
                }
            }
        }
    }
    times
}

/// As [`interleave`], but of `exec /bin/true` in a container of each runtime that runs meanwhile; `bundle` is that of a
/// program which waits. Programs that are no runtimes have no times.
pub fn interleave_exec(programs: &[Program], bundle: &Path, rounds: usize) -> Vec<Times> {
    let ids: Vec<String> = programs.iter().map(|_| lifecycle::fresh_id()).collect();
    let prepare = |program: &Program, id: &str| {
        if !program.is_runtime() {
            return Err("has no exec".to_owned());
        }
        checked(program.run_detached(bundle, id))?;
        match checked(program.exec(id, &["/bin/busybox", "echo", "ran"]))?.as_str() {
            "ran\n" => Ok(Vec::new()),
            _ => Err(format!("{}: succeeded without running the program", shown(&program.exec(id, &[])))),
        }
    };
    let mut times: Vec<Times> = programs.iter().zip(&ids).map(|(program, id)| prepare(program, id)).collect();
    for round in 0..WARM_UP + rounds {
        for index in order(round, programs.len()) {
            let (Some(program), Some(id), Some(slot)) = (programs.get(index), ids.get(index), times.get_mut(index))
            else {
                continue;
            };
            let Ok(sample) = slot else { continue };
            match timed(program.exec(id, &["/bin/true"])) {
                Ok(took) if round >= WARM_UP => sample.push(took.as_secs_f64() * 1e3),
                Ok(_) => {}
                Err(message) => *slot = Err(message),
            }
        }
    }
    for (program, id) in programs.iter().zip(&ids) {
        lifecycle::discard(program, id);
    }
    lifecycle::reap_all();
    times
}

/// The order of `count` programs in a round: another one begins every second round, and every other round goes backwards.
/// Up to three programs so go through all their orders, and each follows each other one equally often.
fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| {
        let turn = if round % 2 == 0 { turn } else { count - 1 - turn };
        (round / 2 + turn) % count
    })
}

/// One run that shows that the container's program does run, with the output kept, so that a failure can be explained.
fn trial(program: &Program) -> Result {
    let id = lifecycle::fresh_id();
    let output = checked(program.run_witness(&id)).inspect_err(|_| lifecycle::discard(program, &id))?;
    if output == WITNESS {
        return Ok(());
    }
    lifecycle::discard(program, &id);
    Err(format!("{}: succeeded without running the program", shown(&program.run_witness(&id))))
}

/// The ratio of two programs' times, taken round by round; `None` if one of them failed.
pub fn ratio(of: &Times, to: &Times) -> Option<Summary> {
    let (Ok(of), Ok(to)) = (of, to) else { return None };
    Summary::of(of.iter().zip(to).map(|(of, to)| of / to).collect())
}

/// What `of` takes more than `to`, round by round, in milliseconds; `None` if one of them failed.
pub fn difference(of: &Times, to: &Times) -> Option<Summary> {
    let (Ok(of), Ok(to)) = (of, to) else { return None };
    Summary::of(of.iter().zip(to).map(|(of, to)| of - to).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_take_turns() {
        let orders: std::collections::BTreeSet<Vec<usize>> = (0..6).map(|round| order(round, 3).collect()).collect();
        assert_eq!(orders.len(), 6);
        assert!(orders.iter().all(|order| order.iter().sum::<usize>() == 3 && order.len() == 3));
        assert_eq!([order(0, 2).collect::<Vec<_>>(), order(1, 2).collect()], [[0, 1], [1, 0]]);
    }

    #[test]
    fn a_ratio_pairs_the_runs_of_a_round() {
        let slow_then_fast = Ok(vec![20.0, 10.0, 2.0]);
        let floor = Ok(vec![10.0, 5.0, 1.0]);
        assert_eq!(ratio(&slow_then_fast, &floor), Some(Summary { min: 2.0, median: 2.0, p90: 2.0 }));
        assert_eq!(ratio(&slow_then_fast, &Err("gone".to_owned())), None);
        assert_eq!(difference(&slow_then_fast, &floor), Some(Summary { min: 1.0, median: 5.0, p90: 10.0 }));
    }
}
