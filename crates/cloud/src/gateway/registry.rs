//! Who is connected to this process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tillwatch_protocol::ids::{DeviceId, PosServerId};
use tillwatch_protocol::link::frame::CloudFrame;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::relay::Question;

/// How many commands wait for a session that is busy. One that does not keep up is closed for its silence.
const WAITING_COMMANDS: usize = 64;
/// How many of these places are kept free of requests of third parties.
const KEPT_FOR_COMMANDS: usize = 32;

/// How often a drain looks for links that are left over at its end.
const LEFT_OVER: Duration = Duration::from_millis(100);
/// How long the last links have to end: what sending and a closing handshake may take.
const LAST_END: Duration = Duration::from_secs(12);

/// What a session is told from outside.
#[derive(Debug)]
pub(super) enum Command {
    /// Send this frame.
    Send(Box<CloudFrame>),
    /// Ask the store what a third party wants to know.
    Ask(Box<Question>),
    /// A newer session has taken over.
    Replaced,
    /// The identity was revoked.
    Revoked,
    /// This node stops, or no longer holds the session: the store has to come again.
    Drain,
}

/// Why a session did not get a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// There is none.
    NoLink,
    /// It has too much to do.
    Busy,
}

/// The sessions of this process, by POS server. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    sessions: Arc<Mutex<HashMap<PosServerId, Session>>>,
    tracker: TaskTracker,
}

#[derive(Debug)]
struct Session {
    epoch: i64,
    device: DeviceId,
    commands: mpsc::Sender<Command>,
}

/// A session's place in the registry. It is given up when this is dropped.
pub(super) struct Place {
    registry: Registry,
    id: PosServerId,
    epoch: i64,
    pub(super) commands: mpsc::Receiver<Command>,
}

impl Registry {
    /// Sends a frame to a POS server's connector; tells whether a session took it.
    pub(crate) fn send(&self, id: PosServerId, frame: CloudFrame) -> bool {
        let sessions = self.lock();
        let sent = sessions.get(&id).map(|session| session.commands.try_send(Command::Send(Box::new(frame))));
        matches!(sent, Some(Ok(())))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// A session of this epoch is on another node: an older one that is here has to go.
    pub(crate) fn replace(&self, id: PosServerId, epoch: i64) {
        if let Some(session) = self.lock().get(&id).filter(|session| session.epoch < epoch) {
            // A full queue is made good by the next look at the database.
            let _ = session.commands.try_send(Command::Replaced);
        }
    }

    /// Gives a request to a POS server's session.
    pub(super) fn ask(&self, id: PosServerId, question: Question) -> Result<(), Unsent> {
        let sessions = self.lock();
        let commands = &sessions.get(&id).ok_or(Unsent::NoLink)?.commands;
        if commands.capacity() <= KEPT_FOR_COMMANDS {
            return Err(Unsent::Busy);
        }
        commands.try_send(Command::Ask(Box::new(question))).map_err(|error| match error {
            TrySendError::Full(_) => Unsent::Busy,
            TrySendError::Closed(_) => Unsent::NoLink,
        })
    }

    /// The sessions that are here, with their epochs.
    pub(crate) fn epochs(&self) -> Vec<(PosServerId, i64)> {
        self.lock().iter().map(|(id, session)| (*id, session.epoch)).collect()
    }

    /// The identities of the sessions that are here.
    pub(crate) fn devices(&self) -> Vec<DeviceId> {
        self.lock().values().map(|session| session.device).collect()
    }

    /// Closes every session, one after the other over this time, and waits for their ends. Nobody comes in
    /// any more.
    pub(crate) async fn drain(&self, over: Duration) {
        let begun = Instant::now();
        let sessions = self.epochs();
        let count = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        for (turn, (id, _)) in (0..count).zip(sessions) {
            sleep_until(begun + over / count * turn).await;
            self.tell_to_go(id);
        }
        self.tracker.close();
        // Those that were about to come in, and those that were too busy to be told.
        while timeout(LEFT_OVER, self.tracker.wait()).await.is_err() {
            for (id, _) in self.epochs() {
                self.tell_to_go(id);
            }
            if begun.elapsed() > over + LAST_END {
                tracing::warn!(links = self.epochs().len(), "some links did not end in time");
                return;
            }
        }
    }

    fn tell_to_go(&self, id: PosServerId) {
        if let Some(session) = self.lock().get(&id) {
            let _ = session.commands.try_send(Command::Drain);
        }
    }

    /// Closes a session that this node no longer holds, unless a newer one took its place here. `newest` is
    /// the epoch of the last session anywhere.
    pub(crate) fn close_lost(&self, id: PosServerId, epoch: i64, newest: i64) {
        if let Some(session) = self.lock().get(&id).filter(|session| session.epoch == epoch) {
            let command = if newest > epoch { Command::Replaced } else { Command::Drain };
            // A full queue is tried again at the next look.
            let _ = session.commands.try_send(command);
        }
    }

    /// Closes the sessions of these identities.
    pub(crate) fn revoke(&self, devices: &[DeviceId]) {
        for session in self.lock().values().filter(|session| devices.contains(&session.device)) {
            // A full queue is tried again: revocations are looked for more than once.
            let _ = session.commands.try_send(Command::Revoked);
        }
    }

    /// Follows the sessions' tasks, to wait for their end.
    pub(crate) fn tracker(&self) -> TaskTracker {
        self.tracker.clone()
    }

    /// Takes the place of a POS server's session; an older one is told to go. Nothing when a newer one is here.
    pub(super) fn enter(&self, id: PosServerId, device: DeviceId, epoch: i64) -> Option<Place> {
        let (sender, commands) = mpsc::channel(WAITING_COMMANDS);
        let session = Session { epoch, device, commands: sender };
        match self.lock().entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(session);
            }
            Entry::Occupied(entry) if entry.get().epoch > epoch => return None,
            Entry::Occupied(mut entry) => {
                // When the queue is full, the old session ends as its sender is dropped.
                let _ = entry.insert(session).commands.try_send(Command::Replaced);
            }
        }
        Some(Place { registry: self.clone(), id, epoch, commands })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PosServerId, Session>> {
        // Each step on the map is complete in itself, so a panic elsewhere leaves it sound.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(entry) = self.registry.lock().entry(self.id)
            && entry.get().epoch == self.epoch
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_session_stays_whatever_the_order() {
        let registry = Registry::default();
        let (id, device) = (PosServerId::new(), DeviceId::new());
        let mut first = registry.enter(id, device, 1).unwrap();
        let third = registry.enter(id, device, 3).unwrap();
        assert!(registry.enter(id, device, 2).is_none());
        assert!(matches!(first.commands.try_recv(), Ok(Command::Replaced)));
        drop(first);
        assert_eq!(registry.epochs(), [(id, 3)], "the end of an old session leaves the newer one alone");
        drop(third);
        assert_eq!(registry.epochs(), []);
    }
}
