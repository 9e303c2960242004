//! Hints from node to node over NATS. Any of them may be lost: NATS may be away or empty, and whatever it
//! carried is found by looking at the database, a little later. Third parties' requests for stores of other nodes,
//! and the answers, are not: they are in memory only, and who asked learns that there was no answer.
//!
//! A message is 32 bytes of HMAC-SHA-256 and a [`Hint`] as JSON. The key is in the database, so that who can
//! write to NATS alone can order nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Message, Request, RequestErrorKind, ServerAddr, Subject};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{Stream, StreamExt};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tillwatch_protocol::ids::{CloudId, PosServerId, RelayId};
use tillwatch_protocol::link::MAX_FRAME_BYTES;
use tillwatch_protocol::link::frame::{CloudFrame, RelayOrder};
use tillwatch_protocol::rest::relay::RelayAnswer;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::bus::Bus;
use crate::config::Secret;
use crate::gateway::{self, Registry, Unanswered};
use crate::http::device::SeenTokens;
use crate::metrics;

/// How many hints wait to go out. More than that are lost.
const WAITING: usize = 4096;
/// How long one try to connect may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest pause between tries to connect.
const RECONNECT: Duration = Duration::from_secs(2);
/// The length of the code in front of a message, in bytes.
const CODE_BYTES: usize = 32;
/// How far the clock of a node that asks may be from ours, and how long its message may take. Within that no
/// message is taken twice, so that nobody can have a store do again what it was once asked.
const ASK_AGE: TimeDelta = TimeDelta::seconds(20);
/// The largest message that is read, in bytes: a frame, and a little around it.
const MAX_MESSAGE_BYTES: usize = MAX_FRAME_BYTES + 1024;

/// What nodes tell each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "hint", rename_all = "snake_case")]
pub(crate) enum Hint {
    /// This revision was committed.
    Revision { revision: i64 },
    /// A frame for a store whose session the node holds.
    Frame { pos_server_id: PosServerId, frame: CloudFrame },
    /// A store's session goes on elsewhere, under this epoch.
    Replaced { pos_server_id: PosServerId, epoch: i64 },
    /// A third party's request for a store whose session the node holds.
    Ask { at: DateTime<Utc>, pos_server_id: PosServerId, order: RelayOrder },
    /// What became of it.
    Answered { id: RelayId, answer: Result<RelayAnswer, Unanswered> },
}

/// The way to the other nodes. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Nats {
    outgoing: mpsc::Sender<(Uuid, Hint)>,
    client: Client,
    sender: Sender,
}

/// The cloud and the node that hints come from, and the key of their codes.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// In front of every subject: several clouds can share a server.
    pub cloud: CloudId,
    /// This node.
    pub node: Uuid,
    /// Known to who can read the database.
    pub key: Secret,
}

impl Sender {
    fn subject_of(&self, node: Uuid) -> String {
        format!("tillwatch.{}.node.{node}", self.cloud)
    }

    fn subject_of_all(&self) -> String {
        format!("tillwatch.{}.all", self.cloud)
    }
}

impl Nats {
    /// Begins to connect, and goes on trying until every clone is dropped. Where NATS answers, this node hears the
    /// others from now on; where it does not, the wait is short. Fails only for an address that is none.
    pub(crate) async fn connect(
        url: &str,
        sender: Sender,
        bus: Bus,
        registry: Registry,
    ) -> anyhow::Result<Self> {
        let servers: Vec<ServerAddr> =
            url.split(',').map(str::parse).collect::<Result<_, _>>().context("nats-url can't be read")?;
        let client = options(&servers, &sender).connect(servers).await.context("connecting to NATS")?;
        let mine = client.subscribe(sender.subject_of(sender.node)).await?;
        let everybody = client.subscribe(sender.subject_of_all()).await?;
        // Before the first link is taken in, or hints about it would be lost.
        let _ = tokio::time::timeout(CONNECT, client.flush()).await;
        let (outgoing, hints) = mpsc::channel(WAITING);
        let nats = Self { outgoing, client: client.clone(), sender: sender.clone() };
        tokio::spawn(async move {
            let seen = SeenTokens::new(Utc::now());
            let wire = Wire { client, sender, bus, registry, seen };
            wire.run(hints, futures_util::stream::select(mine, everybody)).await;
        });
        Ok(nats)
    }

    /// Tells a node something.
    pub(crate) fn tell(&self, node: Uuid, hint: Hint) {
        // Lost when there are too many: whoever looks at the database finds what it was about.
        let _ = self.outgoing.try_send((node, hint));
    }

    /// Asks a node to pass a request on to a store, and waits for the answer. A node that does not listen has
    /// ended, and the store's link with it.
    pub(crate) async fn ask(
        &self,
        node: Uuid,
        pos_server_id: PosServerId,
        order: RelayOrder,
    ) -> Result<RelayAnswer, Unanswered> {
        if self.client.connection_state() != State::Connected {
            return Err(Unanswered::Unreachable);
        }
        let (asked, patience) = (order.id, Duration::from_millis(order.timeout_ms.into()));
        let hint = Hint::Ask { at: Utc::now(), pos_server_id, order };
        let request = Request::new().payload(seal(&self.sender.key, &hint).into()).timeout(Some(patience));
        match self.client.send_request(self.sender.subject_of(node), request).await {
            Ok(message) => match open(&self.sender.key, &message.payload) {
                Some(Hint::Answered { id, answer }) if id == asked => answer,
                _ => Err(Unanswered::Silent),
            },
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Err(Unanswered::NoLink),
            Err(error) => {
                tracing::debug!(%error, "another node did not answer");
                Err(Unanswered::Silent)
            }
        }
    }
}

fn options(servers: &[ServerAddr], sender: &Sender) -> ConnectOptions {
    let away = Arc::new(AtomicBool::new(false));
    let mut options = ConnectOptions::new()
        .name(format!("tillwatch-cloud {}", sender.node))
        .no_echo()
        // Answers come where operators let the nodes read: under `tillwatch.`, as everything else.
        .custom_inbox_prefix(format!("tillwatch.{}.answers", sender.cloud))
        .retry_on_initial_connect()
        .connection_timeout(CONNECT)
        .reconnect_delay_callback(|tries| {
            RECONNECT.min(Duration::from_millis(100).saturating_mul(tries.try_into().unwrap_or(u32::MAX)))
        })
        .event_callback(move |event| {
            follow(&event, &away);
            std::future::ready(())
        });
    if let Some(user) = servers.iter().find_map(ServerAddr::username) {
        options = match servers.iter().find_map(ServerAddr::password) {
            Some(password) => options.user_and_password(user.to_owned(), password.to_owned()),
            None => options.token(user.to_owned()),
        };
    }
    options
}

/// Says once when NATS goes, and once when it is there.
fn follow(event: &Event, away: &AtomicBool) {
    let connected = match event {
        Event::Connected => true,
        Event::Disconnected | Event::Closed | Event::ServerError(_) | Event::ClientError(_) => false,
        Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => return,
    };
    metrics::bus_connected(connected);
    if connected {
        away.store(false, Ordering::Relaxed);
        tracing::info!("connected to NATS");
    } else if !away.swap(true, Ordering::Relaxed) {
        tracing::warn!(%event, "NATS is away; until it is back, changes on other nodes are seen a little later");
    }
}

/// This node's end.
struct Wire {
    client: Client,
    sender: Sender,
    bus: Bus,
    registry: Registry,
    seen: SeenTokens,
}

impl Wire {
    async fn run(
        self,
        mut hints: mpsc::Receiver<(Uuid, Hint)>,
        mut incoming: impl Stream<Item = Message> + Unpin,
    ) {
        let mut committed = self.bus.committed();
        let mut told_bad = false;
        loop {
            tokio::select! {
                hint = hints.recv() => match hint {
                    Some((node, hint)) => self.publish(self.sender.subject_of(node), &hint).await,
                    None => return,
                },
                Ok(()) = committed.changed() => {
                    let revision = *committed.borrow_and_update();
                    self.publish(self.sender.subject_of_all(), &Hint::Revision { revision }).await;
                }
                Some(message) = incoming.next() => match open(&self.sender.key, &message.payload) {
                    Some(hint) => self.follow(hint, message.reply),
                    None if !told_bad => {
                        told_bad = true;
                        let bytes = message.payload.len();
                        tracing::warn!(bytes, "what came over NATS is no hint of this cloud's; it is left alone");
                    }
                    None => {}
                },
            }
        }
    }

    fn follow(&self, hint: Hint, reply: Option<Subject>) {
        match hint {
            Hint::Revision { revision } => self.bus.changed(revision),
            Hint::Frame { pos_server_id, frame } => {
                self.registry.send(pos_server_id, frame);
            }
            Hint::Replaced { pos_server_id, epoch } => self.registry.replace(pos_server_id, epoch),
            Hint::Ask { at, pos_server_id, order } => {
                if let Some(reply) = reply {
                    self.pass_on(reply, at, pos_server_id, order);
                }
            }
            // It goes to who asked.
            Hint::Answered { .. } => {}
        }
    }

    /// Asks a store of this node for another node.
    fn pass_on(&self, reply: Subject, at: DateTime<Utc>, to: PosServerId, order: RelayOrder) {
        let (now, id) = (Utc::now(), order.id);
        if (now - at).abs() > ASK_AGE || !self.seen.is_new(id.0, now) {
            tracing::warn!(%id, "a request of another node is old, or came twice; it is not passed on");
            return;
        }
        let (registry, client, key) = (self.registry.clone(), self.client.clone(), self.sender.key.clone());
        tokio::spawn(async move {
            let patience = Duration::from_millis(order.timeout_ms.into());
            let text = serde_json::to_string(&CloudFrame::Relay(order))
                .unwrap_or_else(|_| unreachable!("frames are plain JSON"));
            let answer = gateway::ask(&registry, to, id, text, patience).await;
            // Who asked stops waiting by itself when the answer does not reach it.
            if let Err(error) = client.publish(reply, seal(&key, &Hint::Answered { id, answer }).into()).await
            {
                tracing::debug!(%error, "an answer did not go out");
            }
        });
    }

    async fn publish(&self, subject: String, hint: &Hint) {
        // What waits for a connection is old when that comes.
        if self.client.connection_state() == State::Connected
            && let Err(error) = self.client.publish(subject, seal(&self.sender.key, hint).into()).await
        {
            tracing::debug!(%error, "a hint did not go out");
        }
    }
}

fn code(Secret(key): &Secret) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.as_bytes()).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

/// A hint as it travels.
fn seal(key: &Secret, hint: &Hint) -> Vec<u8> {
    let json = serde_json::to_vec(hint).unwrap_or_else(|_| unreachable!("hints are plain JSON"));
    let mut message = code(key).chain_update(&json).finalize().into_bytes().to_vec();
    message.extend(json);
    message
}

/// Reads what [`seal`] wrote with the same key; nothing else.
fn open(key: &Secret, message: &[u8]) -> Option<Hint> {
    if message.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let (told, json) = message.split_at_checked(CODE_BYTES)?;
    code(key).chain_update(json).verify_slice(told).ok()?;
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_hints_with_the_right_code_are_read() {
        let (key, another) = (Secret("key".into()), Secret("another".into()));
        let sealed = seal(&key, &Hint::Revision { revision: 7 });
        assert!(matches!(open(&key, &sealed), Some(Hint::Revision { revision: 7 })));
        assert!(open(&another, &sealed).is_none());
        for end in 0..sealed.len() {
            assert!(open(&key, &sealed[..end]).is_none(), "{end}");
        }
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(open(&key, &forged).is_none(), "{at}");
        }
        let json = br#"{"hint":"weather"}"#;
        let mut unknown = code(&key).chain_update(json).finalize().into_bytes().to_vec();
        unknown.extend(json);
        assert!(open(&key, &unknown).is_none());
        let large = vec![b' '; MAX_MESSAGE_BYTES];
        let mut sealed = code(&key).chain_update(&large).finalize().into_bytes().to_vec();
        sealed.extend(large);
        assert!(open(&key, &sealed).is_none());
    }
}
