//! Builds the init: the freestanding program under `init/` that the library embeds and runs inside containers.
//!
//! It is compiled with the compiler that compiles the library, for the same target, and linked with the target's linker:
//! nothing is fetched. When the target is not the host and has no linker configured, `rust-lld` of the toolchain serves.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), String> {
    let var = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let out = PathBuf::from(var("OUT_DIR")?).join("corten-init");
    let source = Path::new(&var("CARGO_MANIFEST_DIR")?).join("init");
    let (target, host) = (var("TARGET")?, var("HOST")?);
    println!("cargo::rerun-if-changed=init");
    let mut rustc = Command::new(var("RUSTC")?);
    rustc.arg(source.join("main.rs")).arg("-o").arg(&out).args(["--target", &target]);
    rustc.args(["--edition", "2024", "--crate-name", "corten_init", "--crate-type", "bin", "--cap-lints", "allow"]);
    for option in ["panic=abort", "opt-level=s", "codegen-units=1", "lto=fat", "relocation-model=static"] {
        rustc.args(["-C", option]);
    }
    for option in ["strip=symbols", "debuginfo=0", "force-unwind-tables=no"] {
        rustc.args(["-C", option]);
    }
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        // The toolchain brings this C library, and would link its start-up code.
        rustc.args(["-C", "link-self-contained=no"]);
    }
    // One segment less to map, no padding between sections: the program stays a few pages.
    let link = ["--build-id=none", "-znorelro", "-znoseparate-code", "--gc-sections", "-static"];
    match linker(&target, &host) {
        Linker::Compiler(path) => {
            rustc.args(path.map(|path| format!("-Clinker={path}")));
            rustc.args([
                "-Clink-arg=-nostartfiles",
                "-Clink-arg=-nostdlib",
                "-Clink-arg=-static",
                "-Clink-arg=-no-pie",
            ]);
            rustc.args(link.map(|option| format!("-Clink-arg=-Wl,{option}")));
        }
        Linker::Lld => {
            rustc.args(["-Clinker=rust-lld", "-Clinker-flavor=ld.lld"]);
            rustc.args(link.map(|option| format!("-Clink-arg={option}")));
        }
    }
    let status = rustc.status().map_err(|error| format!("run rustc: {error}"))?;
    if !status.success() {
        return Err(format!("the init cannot be built: {rustc:?}"));
    }
    println!("cargo::rustc-env=CORTEN_INIT={}", out.display());
    if env::var_os("CARGO_FEATURE_LIBSECCOMP").is_some() {
        prefer_static_libseccomp(&out.with_file_name("static"))?;
    }
    Ok(())
}

/// Makes the linker find the archive before the shared library, for a static program cannot use the latter. The archive
/// is linked to a directory of its own, or it would find other libraries beside it.
fn prefer_static_libseccomp(directory: &Path) -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=CC");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let Ok(output) = Command::new(compiler).arg("-print-file-name=libseccomp.a").output() else { return Ok(()) };
    let found = String::from_utf8_lossy(&output.stdout);
    let archive = Path::new(found.trim());
    // Only the name comes back when there is none.
    if !archive.is_absolute() {
        return Ok(());
    }
    let fail = |error: std::io::Error| format!("link {} to {}: {error}", archive.display(), directory.display());
    std::fs::create_dir_all(directory).map_err(fail)?;
    let link = directory.join("libseccomp.a");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(archive, link).map_err(fail)?;
    println!("cargo::rustc-link-search=native={}", directory.display());
    Ok(())
}

enum Linker {
    /// A C compiler that calls the linker: the one that cargo was told of, or the default.
    Compiler(Option<String>),
    /// The linker of the toolchain.
    Lld,
}

fn linker(target: &str, host: &str) -> Linker {
    match env::var("RUSTC_LINKER") {
        Ok(path) => Linker::Compiler(Some(path)),
        Err(_) if target == host => Linker::Compiler(None),
        Err(_) => Linker::Lld,
    }
}
