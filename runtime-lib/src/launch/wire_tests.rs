//! The decoder runs with every privilege: nothing it is sent may make it do anything but decode or refuse.

use super::orders::{HandOffs, Places, encode};
use super::wire::{List, Malformed, Op, Orders, PREFIX, Phase, Reader, Report, Sink, Wire};
use crate::host::{Hierarchy, Host, HostCgroups};
use crate::plan::{self, Choices};
use crate::trials::{self, thinned};
use crate::{Bundle, ContainerId};
use std::ffi::CStr;

/// Orders with something in every list.
fn sample() -> Vec<u8> {
    let mut config = serde_json::to_value(crate::spec::example(None, true)).unwrap();
    let hook = serde_json::json!([{"path": "/hook", "args": ["hook", "1"], "env": ["A=b"], "timeout": 2}]);
    config["hooks"] = serde_json::json!({"createContainer": hook, "startContainer": hook, "prestart": hook});
    config["linux"]["sysctl"] = serde_json::json!({"net.core.somaxconn": "256"});
    config["linux"]["namespaces"][0]["path"] = serde_json::json!("/proc/1/ns/pid");
    config["process"]["user"]["additionalGids"] = serde_json::json!([1, 2, 3]);
    config["process"]["scheduler"] = serde_json::json!({"policy": "SCHED_RR", "priority": 3});
    config["process"]["ioPriority"] = serde_json::json!({"class": "IOPRIO_CLASS_BE", "priority": 4});
    config["linux"]["memoryPolicy"] = serde_json::json!({"mode": "MPOL_BIND", "nodes": "0,70"});
    let bundle = Bundle::with_config("/bundle", config.to_string().as_bytes()).unwrap();
    let v2 = Hierarchy { controllers: vec![], mount_point: "/sys/fs/cgroup".into(), own_path: "/".into() };
    let host = Host { cgroups: HostCgroups { v1: vec![], v2: Some(v2) }, euid: 0, resctrl: None };
    let plan = plan::lower(&bundle, &ContainerId::new("sample").unwrap(), &host, &Choices::default()).unwrap();
    let places = Places { join: vec![0], console: Some(1), preserved: vec![2, 3], fifo: Some(4), ..Places::default() };
    encode(&plan, &places, &HandOffs { cgroup_wait: true, limits_first: false, unprivileged: true })
        .unwrap()
        .split_off(PREFIX)
}

fn decode(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(bytes);
    let orders = Orders::get(&mut reader)?;
    if !reader.is_empty() {
        return Err(Malformed);
    }
    let mut again = Vec::new();
    orders.put(&mut again);
    Ok(again)
}

/// xorshift64: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn what_is_decoded_is_what_was_encoded() {
    let bytes = sample();
    assert!(bytes.len() > 1000);
    assert_eq!(decode(&bytes), Ok(bytes.clone()));
    let mut reader = Reader::new(&bytes);
    let orders = Orders::get(&mut reader).unwrap();
    assert_eq!(orders.program.args.iter().collect::<Vec<_>>(), [c"sh"]);
    assert_eq!(orders.program.groups.iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(orders.create_container_hooks.iter().map(|hook| hook.timeout).collect::<Vec<_>>(), [2]);
    assert_eq!(orders.namespaces.join.iter().collect::<Vec<_>>(), [0]);
}

#[test]
fn orders_that_end_early_or_late_are_malformed() {
    let bytes = sample();
    for end in thinned(0..bytes.len(), 20) {
        assert_eq!(decode(&bytes[..end]), Err(Malformed), "{end} bytes of {}", bytes.len());
    }
    assert_eq!(decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
}

#[test]
fn a_flipped_bit_is_refused_or_means_something_else() {
    let good = sample();
    let mut bytes = good.clone();
    for bit in thinned(0..good.len() * 8, 12) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Another value of a field, perhaps, but never one that is encoded otherwise.
        assert!(decode(&bytes).is_err() || decode(&bytes).as_ref() == Ok(&bytes), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(bytes, good);
}

/// Whether the items of a list, which are what the init works on, are all that the message has of it.
fn is_whole<'a, T: Wire<'a>>(list: List<'a, T>) -> bool {
    let (mut items, mut said, mut meant) = (Vec::new(), Vec::new(), Vec::new());
    list.iter().for_each(|item| item.put(&mut items));
    list.put(&mut said);
    (list.iter().count() as u32).put(&mut meant);
    items.as_slice().put(&mut meant);
    said == meant
}

/// Lengths and counts are among them: whatever one says, nothing beyond the message is taken, and nothing of it is left out.
#[test]
fn any_four_bytes_at_the_edges_of_a_length_are_refused_or_mean_something_else() {
    let good = sample();
    let (mut refused, mut accepted) = (0, 0);
    for place in thinned(0..good.len() - 4, 3) {
        let value = u32::from_le_bytes(good[place..place + 4].try_into().unwrap());
        let rest = (good.len() - place - 4) as u32;
        let around = |number: u32| [number.wrapping_sub(1), number, number.wrapping_add(1)];
        for edge in [around(0), around(value), around(rest), around(1 << 31)].concat() {
            let mut bytes = good.clone();
            bytes[place..place + 4].copy_from_slice(&edge.to_le_bytes());
            match decode(&bytes) {
                Err(Malformed) => refused += 1,
                Ok(again) => {
                    accepted += 1;
                    let orders = Orders::get(&mut Reader::new(&bytes)).unwrap();
                    let whole = is_whole(orders.mounts) && is_whole(orders.devices) && is_whole(orders.masked_paths);
                    let whole = whole && is_whole(orders.program.args) && is_whole(orders.create_container_hooks);
                    assert!(whole && again == bytes, "{edge} at {place} is not what is encoded again");
                }
            }
        }
    }
    let many = refused > accepted && accepted > good.len();
    assert!(many || !trials::ALL, "{refused} refused, {accepted} accepted");
}

/// A length of 4 GiB and 2 must not come out as 2.
#[test]
#[cfg_attr(miri, ignore = "four gigabytes")]
fn a_length_that_does_not_fit_is_not_cut() {
    struct First([u8; 4], usize);
    impl Sink for First {
        fn put(&mut self, bytes: &[u8]) {
            if self.1 == 0 {
                self.0.copy_from_slice(bytes);
            }
            self.1 += bytes.len();
        }
    }
    const HUGE: usize = (1 << 32) + 2;
    if Vec::<u8>::new().try_reserve_exact(HUGE).is_err() {
        return; // a machine that gives nobody this much address space
    }
    // Nobody touches these pages, so they take no memory.
    let huge = vec![0; HUGE];
    let mut first = First([0; 4], 0);
    huge.as_slice().put(&mut first);
    assert_eq!((first.0, first.1), ([0xff; 4], 4 + HUGE));
    let encoded = [&first.0[..], &[0; 64]].concat();
    assert_eq!(<&[u8]>::get(&mut Reader::new(&encoded)), Err(Malformed));
}

#[test]
fn noise_is_refused_or_decoded_and_never_more() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let good = sample();
    for _ in thinned(0..2000, 20) {
        let mut bytes = good.clone();
        for _ in 0..1 + numbers.below(8) {
            let place = numbers.below(bytes.len());
            bytes[place] = [0, 1, 0x7f, 0x80, 0xff, numbers.below(256) as u8][numbers.below(6)];
        }
        bytes.truncate(1 + numbers.below(bytes.len()));
        let _ = decode(&bytes);
        let _ = Report::get(&mut Reader::new(&bytes));
    }
}

#[test]
fn lengths_and_counts_beyond_the_message_are_refused() {
    let get = |bytes: &[u8]| List::<u32>::get(&mut Reader::new(bytes)).map(|list| list.len());
    let list = |count: u32, length: u32, items: &[u8]| {
        let mut bytes = Vec::new();
        count.put(&mut bytes);
        length.put(&mut bytes);
        Sink::put(&mut bytes, items);
        bytes
    };
    assert_eq!(get(&list(2, 8, &[0; 8])), Ok(2));
    for (count, length) in [(3, 8), (u32::MAX, 8), (2, 9), (2, u32::MAX), (1, 8), (2, 7)] {
        assert_eq!(get(&list(count, length, &[0; 8])), Err(Malformed), "{count} items in {length} bytes");
    }
    let text = |length: u32, bytes: &[u8]| {
        let bytes = [&length.to_le_bytes()[..], bytes].concat();
        <&CStr>::get(&mut Reader::new(&bytes)).map(CStr::to_owned)
    };
    assert_eq!(text(2, b"ab\0"), Ok(c"ab".to_owned()));
    for (length, bytes) in [(2, &b"ab"[..]), (2, b"abc"), (2, b"a\0\0"), (u32::MAX, b"ab\0"), (u32::MAX - 1, b"\0")] {
        assert_eq!(text(length, bytes), Err(Malformed), "{length} bytes of {bytes:?}");
    }
}

#[test]
fn values_that_nothing_encodes_are_refused() {
    assert_eq!(bool::get(&mut Reader::new(&[2])), Err(Malformed));
    assert_eq!(Option::<u8>::get(&mut Reader::new(&[2, 0])), Err(Malformed));
    assert_eq!(Phase::get(&mut Reader::new(&[Phase::ALL.len() as u8])), Err(Malformed));
    assert_eq!(Op::get(&mut Reader::new(&[255])), Err(Malformed));
    for phase in Phase::ALL {
        let bytes = Report { phase: *phase, op: Op::Write, index: 7, errno: -1, detail: i64::MIN }.bytes();
        let report = Report::get(&mut Reader::new(&bytes)).unwrap();
        assert_eq!((report.phase, report.op, report.index, report.errno), (*phase, Op::Write, 7, -1));
        assert_eq!(report.detail, i64::MIN);
    }
}
