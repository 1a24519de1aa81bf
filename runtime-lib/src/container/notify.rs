//! The socket of `sd_notify(3)`: the program says there that it is ready, and the caller passes it on to whom it wants.

use super::builder::Starter;
use super::{Container, ContainerBuilder};
use crate::error::Result;
use crate::plan::Choices;
use crate::store::Entry;
use std::borrow::Cow;
use std::os::unix::net::UnixDatagram;

impl ContainerBuilder {
    /// Gives the program a socket for `sd_notify(3)`, `NOTIFY_SOCKET` in its environment. What it sends there the caller
    /// reads from [`Container::notify_socket`].
    pub fn notify_socket(mut self, yes: bool) -> Self {
        self.notify = yes;
        self
    }

    pub(super) fn choices(&self) -> Cow<'_, Choices> {
        if !self.notify {
            return Cow::Borrowed(&self.choices);
        }
        let directory = Entry::notify_directory_of(&self.root, &self.id);
        let notify_directory = Some(directory.to_string_lossy().into_owned());
        Cow::Owned(Choices { notify_directory, ..self.choices.clone() })
    }

    /// What is started at once finds the socket there; otherwise who starts it makes it.
    pub(super) fn make_notify_socket(&self, entry: &Entry, starter: Starter) -> Result<Option<UnixDatagram>> {
        if !self.notify {
            return Ok(None);
        }
        entry.make_notify_directory()?;
        if starter == Starter::Now { entry.bind_notify_socket() } else { Ok(None) }
    }
}

impl Container {
    /// The socket on which the program says that it is ready, `READY=1` in a datagram. To be asked for before a created
    /// container is started, and once. `None` if the container was not created with one
    /// ([`ContainerBuilder::notify_socket`]).
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn notify_socket(&mut self) -> Result<Option<UnixDatagram>> {
        match self.notify_socket.take() {
            Some(socket) => Ok(Some(socket)),
            None => self.entry.bind_notify_socket(),
        }
    }
}
