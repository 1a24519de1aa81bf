//! Which elements of `linux.resources` are accepted and which refused, as by runc: a table for version 1, and what depends on
//! controllers that not every machine has, decided by runc itself.

use corten_integration::{HostView, Runtime, Sandbox, once, skip};
use serde_json::Value;

/// Members of `linux.resources` with which a container runs.
const ACCEPTED: &[&str] = &[
    r#""memory": {"limit": 0}"#,
    r#""memory": {"limit": -1}"#,
    r#""memory": {"limit": 20971520, "swap": -1}"#,
    r#""memory": {"limit": 20971520, "swap": 0}"#,
    r#""memory": {"reservation": -1}"#,
    r#""memory": {"swappiness": 0}"#,
    r#""memory": {"swappiness": 100}"#,
    r#""memory": {"disableOOMKiller": true}"#,
    r#""memory": {"kernel": 4096}"#,
    r#""memory": {"kernelTCP": 4096}"#,
    r#""memory": {"useHierarchy": true}"#,
    r#""memory": {"limit": 41943040, "checkBeforeUpdate": true}"#,
    r#""cpu": {"shares": 0}"#,
    r#""cpu": {"shares": 2}"#,
    r#""cpu": {"shares": 262144}"#,
    r#""cpu": {"quota": -1}"#,
    r#""cpu": {"quota": 0}"#,
    r#""cpu": {"quota": 1000}"#,
    r#""cpu": {"quota": -5}"#,
    r#""cpu": {"period": 1000}"#,
    r#""cpu": {"period": 50000, "quota": 20000}"#,
    r#""cpu": {"cpus": "0"}"#,
    r#""cpu": {"mems": "0"}"#,
    r#""cpu": {"cpus": ""}"#,
    r#""pids": {"limit": 0}"#,
    r#""pids": {"limit": -1}"#,
    r#""pids": {"limit": -9}"#,
    r#""pids": {"limit": 1}"#,
    r#""pids": {"limit": 100}"#,
    r#""pids": {}"#,
    r#""unified": {}"#,
    r#""devices": [{"allow": true, "access": "rwm"}]"#,
];

/// Members with which it is refused, and nothing is left.
const REFUSED: &[&str] = &[
    r#""memory": {"limit": -2}"#,
    r#""memory": {"limit": 20971520, "swap": 10485760}"#,
    r#""memory": {"swap": 41943040}"#,
    r#""memory": {"limit": -1, "swap": 41943040}"#,
    r#""memory": {"reservation": -2}"#,
    r#""memory": {"swappiness": 101}"#,
    r#""cpu": {"shares": 1}"#,
    r#""cpu": {"shares": 262145}"#,
    r#""cpu": {"quota": 1}"#,
    r#""cpu": {"period": 1}"#,
    r#""cpu": {"period": 1000001}"#,
    r#""cpu": {"cpus": "x"}"#,
    r#""cpu": {"cpus": "0-99"}"#,
    r#""cpu": {"mems": "9"}"#,
    r#""unified": {"memory.max": "100000000"}"#,
    r#""unified": {"pids.max": "10"}"#,
    r#""unified": {"cgroup.freeze": "0"}"#,
    r#""unified": {"../x": "1"}"#,
    r#""unified": {"nodot": "1"}"#,
    r#""unified": {"hugetlb.2MB.max": "2097152"}"#,
    r#""unified": {"cgroup.max.depth": "5"}"#,
    r#""unified": {"a.b": "5"}"#,
    r#""devices": [{"allow": true, "type": "c", "major": 1, "access": "x"}]"#,
    r#""devices": [{"allow": true, "type": "z", "access": "r"}]"#,
    r#""devices": [{"allow": true, "type": "c", "major": -2, "access": "r"}]"#,
    r#""devices": [{"allow": true, "type": "c", "access": ""}]"#,
];

/// Members whose fate depends on the kernel's controllers and devices.
const DEPENDENT: &[&str] = &[
    r#""rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 100}}"#,
    r#""rdma": {}"#,
    r#""blockIO": {"weight": 500}"#,
    r#""blockIO": {"weight": 9}"#,
    r#""blockIO": {"weight": 1001}"#,
    r#""blockIO": {"leafWeight": 500}"#,
    r#""blockIO": {"weightDevice": [{"major": 999, "minor": 0, "weight": 500}]}"#,
    r#""blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 0, "rate": 1000}]}"#,
    r#""hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]"#,
    r#""hugepageLimits": [{"pageSize": "3MB", "limit": 4194304}]"#,
    r#""network": {"classID": 1}"#,
    r#""network": {"priorities": [{"name": "lo", "priority": 2}]}"#,
    r#""cpu": {"realtimeRuntime": 1000}"#,
    r#""cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 1000001}"#,
    r#""unified": {"misc.max": "res_a 3"}"#,
    r#""unified": {"rdma.max": "mlx5_0 hca_handle=3"}"#,
];

#[test]
fn what_depends_on_the_machine_is_decided_as_by_runc() {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join("runc").is_file());
    if Runtime::from_environment() != Runtime::Corten || !found {
        skip!("compares corten with runc");
    }
    let mut wrong = Vec::new();
    for view in HostView::available() {
        let [ours, runcs] = [Runtime::Corten, Runtime::Runc].map(|runtime| Sandbox::of(view, runtime));
        for members in DEPENDENT {
            let ((code, said), (runcs_code, runc_said)) = (run(&ours, members), run(&runcs, members));
            // corten's error names the element.
            let element = members.split('"').nth(1).unwrap();
            let named = code == 0 || said.contains(&format!("linux.resources.{element}"));
            if (code == 0) != (runcs_code == 0) || !named {
                wrong.push(format!("{view:?}: {members}: {code}: {said} runc {runcs_code}: {runc_said}"));
            }
        }
        ours.assert_nothing_left();
        runcs.forgive();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The exit code of a container with these resources, and what was said.
fn run(t: &Sandbox, members: &str) -> (i32, String) {
    let added: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap();
    let bundle = added
        .as_object()
        .unwrap()
        .iter()
        .fold(t.bundle(), |bundle, (name, value)| bundle.set(&format!("/linux/resources/{name}"), value.clone()));
    let container = t.container(bundle.args(&["true"]));
    let output = container.command("run").run();
    (output.code(), output.stderr())
}

#[test]
fn resources_are_accepted_and_refused_as_by_runc() {
    once(|t| {
        if t.view().is_unified() {
            eprintln!("skipped: this machine's cgroups are version 2 only");
            return;
        }
        if t.differs("refused resources") {
            return;
        }
        let mut wrong = Vec::new();
        for (members, refused) in
            ACCEPTED.iter().map(|members| (members, false)).chain(REFUSED.iter().map(|members| (members, true)))
        {
            let (code, said) = run(t, members);
            let as_expected = if refused { code == 1 && !said.is_empty() } else { code == 0 };
            if !as_expected {
                wrong.push(format!("{members}: exit code {code}: {said}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        t.assert_nothing_left();
    });
}
