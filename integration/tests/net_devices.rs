//! `linux.netDevices`: veth devices of the machine move into containers.

use corten_integration::{eventually, on_every_view, once, skip};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A veth pair of the machine; taken away at the end, wherever its first end is.
struct Veth {
    name: String,
    peer: String,
}

fn ip(args: &[&str]) -> String {
    let output = Command::new("ip").args(args).output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn exists(name: &str) -> bool {
    std::path::Path::new("/sys/class/net").join(name).exists()
}

impl Veth {
    /// Up, with an address of version 4 and one of version 6, and an MTU of its own.
    fn new() -> Veth {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let base = format!("ct{}.{number}", std::process::id());
        let veth = Veth { name: format!("{base}a"), peer: format!("{base}b") };
        ip(&["link", "add", &veth.name, "mtu", "1400", "type", "veth", "peer", "name", &veth.peer]);
        ip(&["addr", "add", "198.51.100.7/32", "dev", &veth.name]);
        ip(&["addr", "add", "2001:db8::7/128", "dev", &veth.name, "nodad"]);
        ip(&["link", "set", &veth.name, "up"]);
        veth
    }

    fn address(&self) -> String {
        std::fs::read_to_string(format!("/sys/class/net/{}/address", self.name)).unwrap().trim().to_owned()
    }

    /// Whether it is on the machine, as it was made.
    fn is_back(&self) -> bool {
        exists(&self.name) && {
            let shown = ip(&["addr", "show", "dev", &self.name]);
            ["198.51.100.7/32", "2001:db8::7/128", "mtu 1400", ",UP"].iter().all(|part| shown.contains(part))
        }
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        // With one end the other goes as well; both may be gone with a container.
        let _ = Command::new("ip").args(["link", "del", &self.peer]).stderr(Stdio::null()).status();
    }
}

fn devices(veth: &Veth, name: &str) -> Value {
    json!({ veth.name.as_str(): { "name": name } })
}

#[test]
fn network_devices_move_with_their_addresses() {
    on_every_view(|t| {
        let veth = Veth::new();
        let hardware = veth.address();
        let show = format!("ip addr show dev {}", "lan0");
        let bundle = t.bundle().set("/linux/netDevices", devices(&veth, "lan0")).sh(&show);
        let shown = t.output_of(bundle);
        for part in ["inet 198.51.100.7/32", "inet6 2001:db8::7/128", "mtu 1400", ",UP", &hardware] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!exists(&veth.name), "it is the container's");
        eventually("the device has ended with the container", || !exists(&veth.peer));
        // Under its own name, in a user namespace, with create and start; a hook finds it there.
        let veth = Veth::new();
        let script = format!("ip link show dev {} | grep -q 'mtu 1400'", veth.name);
        let hook =
            json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]});
        let bundle = t.bundle().user_namespace(100_000).set("/linux/netDevices", json!({ veth.name.as_str(): {} }));
        let container = t.container(bundle.add("/hooks/createContainer", hook).args(&["sleep", "1000"]));
        container.create();
        assert!(!exists(&veth.name));
        container.start();
        let pid = container.pid().to_string();
        let inside = Command::new("nsenter").args(["-t", &pid, "-n", "ip", "addr", "show", "dev", &veth.name]).output();
        let inside = String::from_utf8(inside.unwrap().stdout).unwrap();
        assert!(inside.contains("inet 198.51.100.7/32") && inside.contains(",UP"), "{inside}");
        container.command("delete").option("--force").ok();
    });
}

#[test]
fn a_start_that_fails_gives_network_devices_back() {
    on_every_view(|t| {
        let veth = Veth::new();
        let with = |name: &str| t.bundle().set("/linux/netDevices", devices(&veth, name)).args(&["true"]);
        let hook = json!({"path": "/bin/false"});
        let mut other = devices(&veth, "lan0");
        other["corten-none"] = json!({"name": "z"});
        for (what, bundle, names) in [
            ("a program that is not there", with("lan0").args(&["not-there"]), "process.args[0]"),
            ("a hook", with("lan0").add("/hooks/createRuntime", hook.clone()), "hooks.createRuntime[0]"),
            ("a hook inside", with("lan0").add("/hooks/createContainer", hook), "hooks.createContainer[0]"),
            ("a name that is taken", with("lo"), "has a device of that name"),
            ("a device that is not there", with("").set("/linux/netDevices", other), "find network device corten-none"),
            ("a name of 16 letters", with("sixteen-letters-"), "is not a name of a network device"),
            ("a name that the kernel would make up", with("lan%d"), "is not a name of a network device"),
            ("a name with a slash", with("a/b"), "is not a name of a network device"),
            ("the host's network", with("lan0").without_namespace("network"), "without a private network namespace"),
            (
                "a device that belongs to its namespace",
                t.bundle().set("/linux/netDevices", json!({"lo": {"name": "lan0"}})).args(&["true"]),
                "bound to their network namespace",
            ),
            (
                "two devices of one name",
                with("").set("/linux/netDevices", json!({veth.name.as_str(): {"name": "x"}, "other": {"name": "x"}})),
                "is also what",
            ),
        ] {
            for verb in ["create", "run"] {
                let output = t.container(bundle.clone()).command(verb).fails(1);
                assert!(output.stderr().contains(names), "{what}: {output}");
                assert!(veth.is_back(), "{what}: {}", ip(&["addr"]));
                t.assert_nothing_left();
            }
        }
        // The program runs already, and ends for it.
        let bundle = t.bundle().set("/linux/netDevices", devices(&veth, "lan0")).args(&["sleep", "1000"]);
        let output = t.container(bundle.add("/hooks/poststart", json!({"path": "/bin/false"}))).command("run").fails(1);
        assert!(output.stderr().contains("hooks.poststart[0]") && veth.is_back(), "{output}: {}", ip(&["addr"]));
        t.assert_nothing_left();
    });
}

/// A device that is down, without addresses, under a name that the host's device keeps; one with several addresses; a link-local one.
#[test]
fn devices_of_every_state_move_and_are_up() {
    on_every_view(|t| {
        let veth = Veth::new();
        let base = veth.name.trim_end_matches('a');
        let (down, many) = (format!("{base}d"), format!("{base}m"));
        for name in [&down, &many] {
            ip(&["link", "add", name, "mtu", "1300", "type", "veth", "peer", "name", &format!("{name}p")]);
        }
        for address in ["203.0.113.1/24", "203.0.113.2/24", "2001:db8:1::1/64", "2001:db8:1::2/64"] {
            ip(&["addr", "add", address, "dev", &many]);
        }
        ip(&["link", "set", &many, "txqueuelen", "77", "up"]);
        let devices = json!({ down.as_str(): {"name": ""}, many.as_str(): {"name": "lan1"}, veth.name.as_str(): {"name": "lan0"} });
        let script =
            format!("ip addr show dev {down}; ip addr show dev lan1; ip route; cat /sys/class/net/lan1/tx_queue_len");
        let bundle = t.bundle().set("/linux/netDevices", devices).sh(&script);
        let output = t.container(bundle).command("run").run();
        for name in [&down, &many] {
            let _ = Command::new("ip").args(["link", "del", &format!("{name}p")]).stderr(Stdio::null()).status();
        }
        let shown = output.stdout();
        assert_eq!(output.code(), 0, "{output}");
        assert_eq!(shown.matches(",UP").count(), 2, "{shown}");
        assert_eq!(shown.matches("mtu 1300").count(), 2, "{shown}");
        for part in
            ["203.0.113.1/24", "203.0.113.2/24", "2001:db8:1::1/64", "2001:db8:1::2/64", "203.0.113.0/24", "77\n"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!exists(&down) && !exists(&many), "they are the container's");
        eventually("the pair has ended", || !exists(&veth.peer));
    });
}

#[test]
fn a_network_device_in_a_joined_namespace_stays_there() {
    once(|t| {
        let veth = Veth::new();
        let mut holder = Command::new("unshare").args(["-n", "sleep", "1000"]).spawn().unwrap();
        let path = format!("/proc/{}/ns/net", holder.id());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        eventually("the namespace is there", || std::fs::read_link(&path).is_ok_and(|link| link != own));
        let bundle = t.bundle().namespace("network", &path).set("/linux/netDevices", devices(&veth, "lan0"));
        let shown = t.output_of(bundle.args(&["ip", "addr", "show", "dev", "lan0"]));
        let after =
            Command::new("nsenter").arg(format!("--net={path}")).args(["ip", "addr", "show", "dev", "lan0"]).output();
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(shown.contains("198.51.100.7/32"), "{shown}");
        let after = String::from_utf8(after.unwrap().stdout).unwrap();
        assert!(after.contains("198.51.100.7/32"), "{after}");
        eventually("the device has ended with the namespace", || !exists(&veth.peer));
    });
}

/// A card that nobody needs: that of the virtual machine (`integration/vm/run -n net_devices`). Nobody else's is touched.
fn card() -> Option<String> {
    let is_test_machine = std::path::Path::new("/corten/guest/init").exists();
    if !is_test_machine {
        return None;
    }
    let _ = Command::new("modprobe").arg("virtio_net").status();
    let entries = std::fs::read_dir("/sys/class/net").ok()?.filter_map(Result::ok);
    let mut cards = entries.filter(|entry| entry.path().join("device").exists());
    cards.next()?.file_name().into_string().ok()
}

/// A device of hardware does not end with its namespace: the kernel gives it back to the machine, under the name that it has by then.
#[test]
fn a_card_returns_to_the_machine_when_the_container_ends() {
    let Some(card) = card() else {
        skip!("no network card that could be taken away: only that of the virtual machine")
    };
    on_every_view(|t| {
        for (renamed, name) in [(false, card.as_str()), (true, "lan7")] {
            let hardware = std::fs::read_to_string(format!("/sys/class/net/{card}/address")).unwrap();
            ip(&["addr", "add", "198.51.100.9/32", "dev", &card]);
            let device = if renamed { json!({"name": name}) } else { json!({}) };
            let bundle = t.bundle().set("/linux/netDevices", json!({ card.as_str(): device }));
            let container = t.container(bundle.sh(&format!("ip addr show dev {name}; sleep 1000")));
            container.run_detached();
            assert!(!exists(&card), "it is the container's");
            let pid = container.pid().to_string();
            let inside = Command::new("nsenter").args(["-t", &pid, "-n", "ip", "addr", "show", "dev", name]).output();
            let inside = String::from_utf8(inside.unwrap().stdout).unwrap();
            for part in ["198.51.100.9/32", ",UP", hardware.trim()] {
                assert!(inside.contains(part), "{part}: {inside}");
            }
            container.command("delete").option("--force").ok();
            eventually("the card is back", || exists(name));
            let back = std::fs::read_to_string(format!("/sys/class/net/{name}/address")).unwrap();
            assert_eq!(back, hardware);
            if renamed {
                ip(&["link", "set", name, "down"]);
                ip(&["link", "set", name, "name", &card]);
            }
            ip(&["addr", "flush", "dev", &card]);
        }
        t.assert_nothing_left();
    });
}
