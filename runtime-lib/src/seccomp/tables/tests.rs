#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

use super::*;
use std::path::Path;
use std::process::Command;

#[test]
fn names_are_sorted_and_each_is_found_at_its_own_place() {
    let all: Vec<&str> = Name::all().map(Name::as_str).collect();
    assert_eq!(all.len(), names::COUNT);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(all.iter().all(|name| !name.is_empty()));
    for (index, name) in all.iter().enumerate() {
        assert_eq!(Name::find(name).map(|found| usize::from(found.0)), Some(index), "{name}");
    }
    for unknown in ["", "a", "zzz", "reads", "rea", "read ", "\u{fffd}"] {
        assert_eq!(Name::find(unknown), None, "{unknown}");
    }
}

#[test]
fn numbers_are_those_of_the_manual_pages() {
    let cases: &[(&Numbers, &str, Option<u32>)] = &[
        (&X86_64, "read", Some(0)),
        (&X86_64, "mseal", Some(462)),
        (&X86_64, "waitpid", None),
        (&X86, "waitpid", Some(7)),
        (&X86, "socketcall", Some(102)),
        (&X86, "semop", None),
        (&X32, "ioctl", Some(514)),
        (&ARM, "cacheflush", Some(0x000f_0002)),
        (&ARM, "sync_file_range2", Some(341)),
        (&AARCH64, "read", Some(63)),
        (&AARCH64, "open", None),
        (&MIPS_O32, "syscall", Some(4000)),
        (&MIPS_N64, "read", Some(5000)),
        (&MIPS_N32, "read", Some(6000)),
        (&PPC64, "spu_run", Some(278)),
        (&S390X, "s390_pci_mmio_read", Some(353)),
        (&RISCV64, "riscv_flush_icache", Some(259)),
        (&LOONGARCH64, "read", Some(63)),
        (&M68K, "getpagesize", Some(166)),
        (&SH, "cacheflush", Some(123)),
        (&PARISC, "socketcall", None),
    ];
    for (numbers, name, expected) in cases {
        assert_eq!(Name::find(name).expect(name).number(numbers), *expected, "{name}");
    }
}

#[test]
fn every_table_has_the_calls_that_all_architectures_share() {
    let tables = [
        &X86,
        &X86_64,
        &X32,
        &ARM,
        &AARCH64,
        &MIPS_O32,
        &MIPS_N64,
        &MIPS_N32,
        &PPC,
        &PPC64,
        &S390,
        &S390X,
        &PARISC,
        &PARISC64,
        &RISCV64,
        &LOONGARCH64,
        &M68K,
        &SH,
    ];
    for (index, table) in tables.iter().enumerate() {
        for name in ["read", "write", "openat", "execveat", "mseal", "exit_group", "mount_setattr"] {
            assert!(Name::find(name).unwrap().number(table).is_some(), "table {index}: {name}");
        }
        let mut numbers: Vec<u32> = Name::all().filter_map(|name| name.number(table)).collect();
        let count = numbers.len();
        assert!(count > 300, "table {index} has {count} calls");
        numbers.sort_unstable();
        numbers.dedup();
        // ARM gives one call two names (arm_sync_file_range, sync_file_range2).
        assert!(count - numbers.len() <= 1, "table {index} gives one number to several names");
    }
}

/// Run it with `SECCOMP_UAPI=/path/to/usr/lib/linux/uapi` of an unpacked linux-libc-dev of the version that the tables
/// come from (6.12 of Debian trixie). Without that it says that it was skipped: other versions have other calls.
#[test]
fn the_tables_equal_a_regeneration() {
    let Ok(uapi) = std::env::var("SECCOMP_UAPI") else {
        eprintln!("skipped: SECCOMP_UAPI does not name usr/lib/linux/uapi of Debian trixie's linux-libc-dev");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = tempfile::tempdir().unwrap();
    let script = root.join("../tools/seccomp-tables.py");
    let status = Command::new(script).arg(uapi).arg(scratch.path()).status().unwrap();
    assert!(status.success());
    for file in ["names.rs", "numbers.rs"] {
        let fresh = std::fs::read(scratch.path().join(file)).unwrap();
        let kept = std::fs::read(root.join("src/seccomp/tables").join(file)).unwrap();
        assert!(fresh == kept, "{file} differs from what the headers give");
    }
}
