//! A bundle: the directory that holds `config.json` and, usually, the root file system.

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{self, ValidSpec};
use serde_json::value::RawValue;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// `config.json` may not be larger than this: 16 MiB, far above what any engine writes, so that a file that never ends
/// cannot exhaust memory.
const CONFIG_LIMIT: u64 = 16 << 20;

/// A bundle directory with its configuration, loaded and validated.
///
/// ```
/// let config = r#"{"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "process": {"cwd": "/", "args": []}}"#;
/// let error = libcorten::Bundle::with_config("/bundle", config).unwrap_err();
/// assert_eq!(error.location(), Some("process.args"));
/// ```
#[derive(Debug, Clone)]
pub struct Bundle {
    path: PathBuf,
    spec: ValidSpec,
    /// The configuration's text, to be kept with the container.
    config: Box<RawValue>,
}

impl Bundle {
    /// Loads and validates `DIR/config.json`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with the element at fault; [`ErrorKind::Os`] when the file cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Bundle> {
        let path = absolute(dir.as_ref())?;
        let text = read_config(&path)?;
        Bundle::with_config(path, text)
    }

    /// A bundle whose `config.json` is in memory; relative paths of the configuration are taken from `dir`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] with the element at fault.
    pub fn with_config(dir: impl AsRef<Path>, text: impl Into<Vec<u8>>) -> Result<Bundle> {
        let unreadable = |error: String| Error::config("config.json", error);
        let text = String::from_utf8(text.into()).map_err(|error| unreadable(error.to_string()))?;
        let spec = spec::parse_text(&text)?;
        let config = RawValue::from_string(text).map_err(|error| unreadable(error.to_string()))?;
        Ok(Bundle { path: absolute(dir.as_ref())?, spec, config })
    }

    /// A bundle whose configuration is in memory; relative paths of the configuration are taken from `dir`.
    ///
    /// ```
    /// use libcorten::{Bundle, spec};
    ///
    /// # fn main() -> libcorten::Result<()> {
    /// // What `corten spec` writes, to start from: a shell on a terminal, few rights, a read-only root.
    /// let mut config = spec::example(None, false);
    /// if let Some(process) = config.process_mut() {
    ///     process.set_terminal(Some(false)).set_args(Some(vec!["id".to_owned(), "-u".to_owned()]));
    /// }
    /// let bundle = Bundle::with_spec("/path/to/bundle", config)?;
    /// assert_eq!(bundle.spec().process.args, ["id", "-u"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Bundle::open`].
    pub fn with_spec(dir: impl AsRef<Path>, spec: oci_spec::runtime::Spec) -> Result<Bundle> {
        let config = serde_json::value::to_raw_value(&spec);
        let config = config.map_err(|error| Error::config("config.json", error.to_string()))?;
        Ok(Bundle { path: absolute(dir.as_ref())?, spec: spec::validate(spec)?, config })
    }

    /// Every fault of `DIR/config.json`, each with its location; empty when the bundle is valid.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub fn check(dir: impl AsRef<Path>) -> Result<Vec<Error>> {
        let path = absolute(dir.as_ref())?;
        Ok(spec::faults(&read_config(&path)?))
    }

    /// Every element of `DIR/config.json` that the specification does not have, one line each, with the place. It is
    /// ignored, and mostly a misspelt one.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub fn unknown(dir: impl AsRef<Path>) -> Result<Vec<String>> {
        Ok(spec::unknown(&read_config(&absolute(dir.as_ref())?)?))
    }

    /// The bundle directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration.
    pub fn spec(&self) -> &ValidSpec {
        &self.spec
    }

    /// The configuration's text.
    pub(crate) fn config(&self) -> &RawValue {
        &self.config
    }

    /// The root file system, absolute.
    pub fn rootfs(&self) -> PathBuf {
        self.path.join(&self.spec.root.path)
    }
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    std::path::absolute(dir).map_err(|error| Error::os(format!("find bundle {}", dir.display()), error))
}

fn read_config(dir: &Path) -> Result<Vec<u8>> {
    let path = dir.join("config.json");
    let operation = || format!("open {}", path.display());
    // O_NONBLOCK: a FIFO in place of the file must not hang us.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(&path)
        .map_err(|error| Error::os(operation(), error))?;
    let meta = file.metadata().map_err(|error| Error::os(operation(), error))?;
    if !meta.is_file() {
        return Err(Error::new(ErrorKind::InvalidConfig, format!("{} is not a regular file", path.display())));
    }
    let mut text = Vec::with_capacity(meta.len().min(CONFIG_LIMIT) as usize + 1);
    file.take(CONFIG_LIMIT + 1)
        .read_to_end(&mut text)
        .map_err(|error| Error::os(format!("read {}", path.display()), error))?;
    if text.len() as u64 > CONFIG_LIMIT {
        let message = format!("{} is larger than {} MiB", path.display(), CONFIG_LIMIT >> 20);
        return Err(Error::new(ErrorKind::InvalidConfig, message));
    }
    Ok(text)
}
