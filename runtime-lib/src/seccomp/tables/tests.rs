#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

use super::*;
use crate::trials::thinned;
use std::path::Path;
use std::process::Command;

#[test]
fn names_are_sorted_and_each_is_found_at_its_own_place() {
    let all: Vec<&str> = Name::all().map(Name::as_str).collect();
    assert_eq!(all.len(), names::COUNT);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(all.iter().all(|name| !name.is_empty()));
    for (index, name) in thinned(all.iter().enumerate(), 20) {
        assert_eq!(Name::find(name).map(|found| usize::from(found.0)), Some(index), "{name}");
    }
    // From everywhere to everywhere, in every order.
    for from in thinned(0..names::COUNT + 1, 2) {
        let mut finder = Finder { next: from };
        for index in thinned((0..names::COUNT).step_by(7), 5) {
            finder.next = from;
            assert_eq!(finder.find(all[index]).map(|found| usize::from(found.0)), Some(index), "{from}");
            assert_eq!(finder.next, index + 1);
        }
        assert_eq!(Finder { next: from }.find("reads"), None, "{from}");
    }
    const READ: Name = Name::known("read");
    assert_eq!(READ.as_str(), "read");
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
    for (index, table) in thinned(tables.iter().enumerate(), 2) {
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

/// The definitions `__NR_NAME NUMBER` of a header; a number may have a base in front of it, which is left out.
fn definitions(header: &str) -> Vec<(&str, u32)> {
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '));
    let number = |value: &str| value.trim_matches(['(', ')', ' ']).rsplit(['+', ' ']).next()?.trim().parse().ok();
    defined.filter_map(|(name, value)| Some((name, number(value)?))).collect()
}

/// Numbers never change, so whatever release's headers are installed: what they have, the tables have too, unless it is newer.
/// Debian has them where there is a C library to link with (libc6-dev needs linux-libc-dev).
#[test]
#[cfg_attr(miri, ignore = "reads the headers of the machine")]
fn the_tables_have_every_call_of_the_headers_of_this_machine() {
    let sample = "#define __NR_read 0\n#define __NR_ioctl (__X32_SYSCALL_BIT + 514)\n#define __NR_a __NR_b\nint x;\n";
    assert_eq!(definitions(sample), [("read", 0), ("ioctl", 514)]);
    let mut seen = 0;
    for (file, table) in [("unistd_64.h", &X86_64), ("unistd_32.h", &X86), ("unistd_x32.h", &X32)] {
        let path = Path::new("/usr/include/x86_64-linux-gnu/asm").join(file);
        let Ok(header) = std::fs::read_to_string(&path) else {
            eprintln!("left out: {} is not installed", path.display());
            continue;
        };
        let calls = definitions(&header);
        assert!(calls.len() > 300, "{file}: {}", calls.len());
        let highest = Name::all().filter_map(|name| name.number(table)).max().unwrap();
        for (name, number) in calls {
            match Name::find(name).and_then(|name| name.number(table)) {
                Some(ours) => assert_eq!(ours, number, "{file}: {name}"),
                None => assert!(number > highest, "{file}: {name} is missing, and not newer than the tables"),
            }
            seen += 1;
        }
    }
    assert!(seen > 1000 || !cfg!(target_arch = "x86_64") || !Path::new("/usr/include/x86_64-linux-gnu/asm").exists());
}

/// Byte for byte, for all architectures: `just seccomp-tables` fetches the headers that the tables come from (linux-libc-dev
/// of Debian trixie, 6.12) and names them in `SECCOMP_UAPI`. A machine's own are of another version and of one architecture.
#[test]
#[cfg_attr(miri, ignore = "runs a program")]
fn the_tables_equal_a_regeneration() {
    let Ok(uapi) = std::env::var("SECCOMP_UAPI") else {
        eprintln!("left out: SECCOMP_UAPI does not name the headers, see `just seccomp-tables`");
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
