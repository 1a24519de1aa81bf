//! `linux.netDevices`.

use super::{check, valid};
use serde_json::json;

#[test]
fn a_device_keeps_its_name_unless_another_is_given() {
    let devices = json!({"eth1": {}, "eth0": {"name": "lan"}, "eth2": {"name": ""}});
    let devices = valid(&[("/linux/netDevices", devices)]).net_devices;
    let names: Vec<_> = devices.iter().map(|device| (device.host_name.as_str(), device.name.as_str())).collect();
    assert_eq!(names, [("eth0", "lan"), ("eth1", "eth1"), ("eth2", "eth2")]);
    check(&[("/linux/netDevices", json!({}))], &[]);
}

#[test]
fn names_are_those_that_the_kernel_takes() {
    for bad in ["", ".", "..", "a/b", "a:b", "a b", "eth%d", "a\n", "sixteen-letters-"] {
        let fault = format!("linux.netDevices[{bad:?}]: is not a name of a network device");
        check(&[("/linux/netDevices", json!({bad: {}}))], &[&fault]);
        if !bad.is_empty() {
            let fault = format!("linux.netDevices[\"eth0\"].name: {bad:?} is not a name of a network device");
            check(&[("/linux/netDevices", json!({"eth0": {"name": bad}}))], &[&fault]);
        }
    }
    check(
        &[("/linux/netDevices", json!({"eth0": {"name": "eth1"}, "eth1": {}}))],
        &[r#"linux.netDevices["eth1"].name: "eth1" is also what "eth0" is called"#],
    );
    check(
        &[
            ("/linux/namespaces", super::kinds(&["pid", "mount"])),
            ("/hostname", json!("")),
            ("/linux/netDevices", json!({"eth0": {}})),
        ],
        &["linux.netDevices: unable to move network devices without a private network namespace"],
    );
}
