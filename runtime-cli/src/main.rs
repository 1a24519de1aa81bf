//! `corten`, see `lib.rs`.

fn main() -> std::process::ExitCode {
    corten_cli::main()
}
