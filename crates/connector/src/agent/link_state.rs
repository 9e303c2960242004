//! Whether there is a link, and when to try for the next one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::link::close;
use tillwatch_protocol::link::frame::ConnectorFrame;
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::time::Instant;

use super::{Agent, Event, Timer};
use crate::cloud_client::CallError;
use crate::link::{ConnectError, LinkEvent, Session, jitter};

/// How often the cloud hears of a store without a link.
const HEARTBEAT_EVERY: Duration = Duration::from_mins(1);
/// How long such a call may take.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the cloud may take to say welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait when trying at once can't help: the identity was revoked, or the POS server is too old.
const HOPELESS_WAIT: Duration = Duration::from_hours(1);
/// The shortest beat of `alive`, whatever a cloud says.
const SHORTEST_BEAT: Duration = Duration::from_secs(1);

/// The link's state.
pub(super) enum Link {
    /// There is none.
    Down {
        /// When to try again.
        retry_at: Instant,
        /// Why there is no use in trying sooner.
        hopeless: Option<Hopeless>,
    },
    /// A session is being opened.
    Opening(Session),
    /// A session is open.
    Up {
        session: Session,
        opened_at: Instant,
        /// When `alive` is due; none before the welcome.
        alive_at: Option<Instant>,
        /// How often `alive` is said.
        beat: Duration,
        /// When to give the session up.
        leave_at: Option<Instant>,
    },
}

/// Why trying at once can't help.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hopeless {
    /// The POS server of this version is too old.
    Version(Option<String>),
    /// The identity was revoked.
    Revoked,
    /// Another connector has the same identity.
    Replaced,
}

/// When a store that has no link first says so: spread, as many may have lost it at once.
pub(super) fn first_heartbeat() -> Duration {
    HEARTBEAT_EVERY / 2 + jitter(HEARTBEAT_EVERY / 2)
}

impl Link {
    pub(super) fn down_until(retry_at: Instant) -> Self {
        Self::Down { retry_at, hopeless: None }
    }

    pub(super) fn is_welcome(&self) -> bool {
        matches!(self, Self::Up { alive_at: Some(_), .. })
    }

    pub(super) fn alive_told(&mut self, now: Instant) {
        if let Self::Up { alive_at: Some(alive_at), beat, .. } = self {
            *alive_at = now + *beat;
        }
    }
}

impl Agent {
    pub(super) fn link_timers(&self) -> Vec<(Instant, Timer)> {
        let heartbeat = (self.heartbeat_at, Timer::Heartbeat);
        match &self.link {
            Link::Down { retry_at, hopeless: None } => vec![(*retry_at, Timer::Connect), heartbeat],
            // The cloud knows why there is no link, and would take a heartbeat for a blocked WebSocket.
            Link::Down { retry_at, hopeless: Some(_) } => vec![(*retry_at, Timer::Connect)],
            Link::Opening(_) => vec![heartbeat],
            Link::Up { alive_at, leave_at, .. } => {
                let alive = alive_at.map(|at| (at, Timer::Alive));
                let leave = leave_at.map(|at| (at, Timer::Leave));
                alive.into_iter().chain(leave).collect()
            }
        }
    }

    pub(super) fn connect(&mut self) {
        self.sessions += 1;
        let (number, tell) = (self.sessions, self.tell.clone());
        let session = Session::open(self.tools.client.clone(), &mut self.tasks.lasting, move |event| {
            let tell = tell.clone();
            async move {
                // Fails only when the agent has ended.
                let _ = tell.send(Event::Link(number, event)).await;
            }
        });
        self.link = Link::Opening(session);
    }

    pub(super) async fn on_link(&mut self, number: u64, event: LinkEvent) {
        if number != self.sessions || matches!(self.link, Link::Down { .. }) {
            // An old session that was left tells of its end.
            return;
        }
        match event {
            LinkEvent::Opened => self.on_opened(),
            LinkEvent::Frame(frame) => self.on_frame(*frame).await,
            LinkEvent::UnknownJob(id) => self.refuse_unknown(id),
            LinkEvent::Refused(error) => self.on_refused(&error),
            LinkEvent::Closed { code } => self.on_closed(code),
        }
    }

    /// Sends a frame if there is a session. Whatever is lost with a session is said again in the next.
    pub(super) fn send(&mut self, frame: ConnectorFrame) {
        let Link::Up { session, .. } = &self.link else { return };
        if !session.send(frame) {
            tracing::warn!("the link is stuck and is given up");
            session.abort();
            self.on_closed(None);
        }
    }

    /// Ends the session cleanly and opens the next one at once.
    pub(super) fn leave(&mut self) {
        self.link = Link::down_until(Instant::now());
        self.heartbeat_at = Instant::now() + first_heartbeat();
    }

    /// The cloud asks to be left within this time.
    pub(super) fn on_drain(&mut self, within: Duration) {
        if let Link::Up { leave_at, .. } = &mut self.link {
            *leave_at = Some(Instant::now() + jitter(within));
        }
    }

    /// The cloud has taken the hello.
    pub(super) fn on_welcome(&mut self, heartbeat: Duration) {
        self.last_refusal = None;
        if let Link::Up { alive_at, beat, leave_at, .. } = &mut self.link {
            *beat = heartbeat.max(SHORTEST_BEAT);
            *alive_at = Some(Instant::now() + *beat);
            *leave_at = None;
        }
    }

    /// Tries again when the POS server that was too old has another version.
    pub(super) fn version_seen(&mut self, version: Option<&str>) {
        if let Link::Down { retry_at, hopeless: hopeless @ Some(Hopeless::Version(_)) } = &mut self.link
            && *hopeless != Some(Hopeless::Version(version.map(str::to_owned)))
        {
            *hopeless = None;
            *retry_at = Instant::now();
        }
    }

    pub(super) fn send_heartbeat(&mut self) {
        self.heartbeat_at = Instant::now() + HEARTBEAT_EVERY;
        if matches!(self.link, Link::Up { .. }) {
            return;
        }
        let pos_answers = self.seen.borrow().state == PosState::Running;
        let body = json!({"connector_version": env!("CARGO_PKG_VERSION"), "pos_answers": pos_answers});
        let (client, tell) = (self.tools.client.clone(), self.tell.clone());
        self.tasks.workers.spawn(async move {
            let url = client.url("heartbeat");
            let call = client.send(|http| http.post(url.clone()).json(&body).timeout(HEARTBEAT_TIMEOUT));
            let answer = call.await.map(|_| ());
            let _ = tell.send(Event::HeartbeatAnswered(answer)).await;
        });
    }

    pub(super) fn on_heartbeat_answered(&mut self, answer: Result<(), CallError>) {
        let Err(error) = answer else { return };
        tracing::debug!(%error, "the heartbeat was not taken");
        if let Link::Down { hopeless: None, .. } = self.link
            && let Some(hopeless) = self.hopeless(error.code())
        {
            self.wait_hopeless(hopeless);
        }
    }

    fn on_opened(&mut self) {
        let Link::Opening(session) = std::mem::replace(&mut self.link, Link::down_until(Instant::now()))
        else {
            return;
        };
        let now = Instant::now();
        self.link = Link::Up {
            session,
            opened_at: now,
            alive_at: None,
            beat: SHORTEST_BEAT,
            leave_at: Some(now + WELCOME_TIMEOUT),
        };
        self.say_hello();
    }

    fn on_refused(&mut self, error: &ConnectError) {
        let wait = match error {
            ConnectError::Refused { code, .. } if self.hopeless(*code).is_some() => {
                if let Some(hopeless) = self.hopeless(*code) {
                    self.wait_hopeless(hopeless);
                }
                return;
            }
            ConnectError::Refused { status: 503 | 429, retry_after: Some(wait), .. } => {
                // Everybody who was told the same would come back at the same moment.
                let wait = (*wait).min(HOPELESS_WAIT);
                wait + jitter(wait / 4)
            }
            ConnectError::Refused { status: 401, code: None, .. } => {
                // The answer's body came too late to be read; over HTTPS it is read whole.
                self.link = Link::down_until(Instant::now());
                self.send_heartbeat();
                self.backoff.next_wait()
            }
            _ => self.backoff.next_wait(),
        };
        let reason = error.to_string();
        if self.last_refusal.as_ref() == Some(&reason) {
            tracing::debug!(wait_millis = wait.as_millis() as u64, "still no link");
        } else {
            tracing::warn!(reason, "no link; it is tried again until there is one");
            self.last_refusal = Some(reason);
        }
        self.link = Link::down_until(Instant::now() + wait);
    }

    fn on_closed(&mut self, code: Option<u16>) {
        let now = Instant::now();
        let mut leaving_at = None;
        if let Link::Up { opened_at, leave_at, alive_at, .. } = &self.link {
            self.backoff.lived(opened_at.elapsed());
            // Before the welcome it is a time-out, later the moment that was drawn for a drain.
            leaving_at = leave_at.filter(|_| alive_at.is_some());
            self.drops += 1;
        }
        self.heartbeat_at = now + first_heartbeat();
        let hopeless = match code {
            Some(close::VERSION_UNSUPPORTED) => self.hopeless(Some(ErrorCode::VersionUnsupported)),
            Some(close::CREDENTIALS_REVOKED) => Some(Hopeless::Revoked),
            Some(close::REPLACED_BY_NEWER_SESSION) => Some(Hopeless::Replaced),
            _ => None,
        };
        if let Some(hopeless) = hopeless {
            self.wait_hopeless(hopeless);
            return;
        }
        let retry_at = leaving_at.unwrap_or_else(|| now + self.backoff.next_wait());
        tracing::warn!(code, "the link is lost; another try follows");
        self.link = Link::down_until(retry_at);
    }

    fn hopeless(&self, code: Option<ErrorCode>) -> Option<Hopeless> {
        match code? {
            ErrorCode::CredentialsRevoked => Some(Hopeless::Revoked),
            ErrorCode::VersionUnsupported => {
                Some(Hopeless::Version(self.seen.borrow().report.pos_version.clone()))
            }
            _ => None,
        }
    }

    fn wait_hopeless(&mut self, hopeless: Hopeless) {
        let wait = match hopeless {
            Hopeless::Replaced => self.backoff.replaced_wait(),
            Hopeless::Version(_) | Hopeless::Revoked => HOPELESS_WAIT,
        };
        match &hopeless {
            Hopeless::Version(version) => {
                tracing::error!(version, "the cloud takes no data from this POS version");
            }
            Hopeless::Revoked => tracing::error!("this identity was revoked: enroll again and restart"),
            Hopeless::Replaced => tracing::error!("another connector uses the same identity"),
        }
        self.link = Link::Down { retry_at: Instant::now() + wait, hopeless: Some(hopeless) };
    }

    /// The cloud's time, for what is written down.
    pub(super) fn cloud_now(&self) -> DateTime<Utc> {
        self.tools.client.now()
    }
}
