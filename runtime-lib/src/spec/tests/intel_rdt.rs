//! `linux.intelRdt`.

use super::{check, valid};
use crate::spec::IntelRdt;
use serde_json::json;

fn rdt(value: serde_json::Value) -> IntelRdt {
    valid(&[("/linux/intelRdt", value)]).intel_rdt.unwrap()
}

#[test]
fn every_element_has_its_meaning() {
    let all = json!({
        "closID": "gold", "l3CacheSchema": "L3:0=f;1=f", "memBwSchema": "MB:0=50;1=50", "schemata": ["L2:0=3"],
        "enableMonitoring": true,
    });
    let expected = IntelRdt {
        clos_id: Some("gold".to_owned()),
        l3_cache_schema: Some("L3:0=f;1=f".to_owned()),
        mem_bw_schema: Some("MB:0=50;1=50".to_owned()),
        schemata: vec!["L2:0=3".to_owned()],
        monitoring: true,
    };
    assert_eq!(rdt(all), expected);
    let none =
        IntelRdt { clos_id: None, l3_cache_schema: None, mem_bw_schema: None, schemata: Vec::new(), monitoring: false };
    assert_eq!(rdt(json!({})), none);
    assert_eq!(rdt(json!({"closID": "", "l3CacheSchema": "", "memBwSchema": "", "schemata": []})), none);
    assert_eq!(rdt(json!({"closID": "/"})).clos_id.as_deref(), Some("/"));
    assert_eq!(valid(&[]).intel_rdt, None);
}

#[test]
fn lines_about_bandwidth_are_no_schema_of_the_cache() {
    let both = json!({"l3CacheSchema": "L3:0=f\nMB:0=10\n", "memBwSchema": "MB:0=50\n"});
    let both = rdt(both);
    assert_eq!(both.l3_cache_schema.as_deref(), Some("L3:0=f"));
    assert_eq!(both.mem_bw_schema.as_deref(), Some("MB:0=50"));
}

#[test]
fn what_has_no_meaning_is_named() {
    for name in [".", "..", "a/b", "../x", "/a", "a\nb", "info", "mon_groups", "mon_data"] {
        let expected = format!("linux.intelRdt.closID: invalid intelRdt.ClosID {name:?}");
        check(&[("/linux/intelRdt", json!({"closID": name}))], &[&expected]);
    }
    let long = "x".repeat(256);
    check(&[("/linux/intelRdt", json!({"closID": long}))], &["linux.intelRdt.closID: is longer than 255 bytes"]);
    for (element, value, expected) in [
        ("l3CacheSchema", json!("f"), "l3CacheSchema: \"f\" is not of the form RESOURCE:DOMAIN=VALUE;…"),
        ("memBwSchema", json!("L3:0=f"), "memBwSchema: \"L3:0=f\" does not begin with MB:"),
        ("memBwSchema", json!("MB:0=1\nMB:1=1"), "memBwSchema: \"MB:0=1\\nMB:1=1\" is not one line"),
        ("schemata", json!(["L3:0=f", "L3:0=f\nL3:1=f"]), "schemata[1]: \"L3:0=f\\nL3:1=f\" is not one line"),
        ("schemata", json!(["L3"]), "schemata[0]: \"L3\" is not of the form RESOURCE:DOMAIN=VALUE;…"),
    ] {
        check(&[("/linux/intelRdt", json!({element: value}))], &[&format!("linux.intelRdt.{expected}")]);
    }
}
