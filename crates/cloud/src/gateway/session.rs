//! The life of one link: hello, welcome, frames, and an end that is written down with its cause.

use std::collections::VecDeque;
use std::error::Error as _;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use chrono::Utc;
use serde::Deserialize;
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, Hello, JobOrder};
use tillwatch_protocol::link::{HEARTBEAT_SECONDS, MAX_FRAME_BYTES, close};
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite;

use super::admission::Arrival;
use super::dispatch::Dispatch;
use super::inbox::{Begin, Change, Ended, NotBegun, Reported};
use super::registry::{Command, Place};
use super::relay::Waiting;
use crate::domain::presence::{self, End, Presence, Violation};
use crate::http::device::{Caller, Device};
use crate::metrics;
use crate::state::AppState;
use crate::store::StoreError;

/// How long a frame may take to leave: a peer that reads nothing must not hold the session.
const SEND: Duration = Duration::from_secs(10);
/// How long a peer may take to answer a closing frame.
const CLOSE: Duration = Duration::from_secs(2);
/// Over how many seconds connectors come back that are closed all at once.
const RECONNECT_WITHIN_SECONDS: u64 = 10;
/// How many frames about jobs wait to be written at most: a store has a job of each kind, accepted and ended.
const MOST_UNWRITTEN: usize = 16;
/// The cloud could not do its part (RFC 6455).
const INTERNAL_ERROR: u16 = 1011;

/// Serves a link from its upgrade to its end.
pub(super) async fn run(mut socket: Box<WebSocket>, caller: Caller, arrival: Arrival, state: AppState) {
    let device = caller.device;
    let goodbye = match serve(&mut socket, caller, arrival, &state).await {
        Ok(end) => {
            tracing::debug!(pos_server = %device.pos_server_id, ?end, "a link ended");
            if end == End::Revoked {
                // The next try is refused at the door.
                state.device_keys.forget(device.id);
            }
            farewell(&end)
        }
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(pos_server = %device.pos_server_id, error, "a link failed");
            Some((INTERNAL_ERROR, "internal"))
        }
    };
    let said = match goodbye {
        Some((code, reason)) => {
            let frame = CloseFrame { code, reason: reason.into() };
            send(&mut socket, Message::Close(Some(frame))).await
        }
        None => true,
    };
    if said {
        // Reading to the end lets the closing frame arrive: closing over unread data would reset the line. It also
        // sends the answer to the closing frame of a peer.
        let _ = timeout(CLOSE, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
    }
}

/// The closing frame for an end; none where the peer's own came first. Where the peer is gone already, nobody reads it.
fn farewell(end: &End) -> Option<(u16, &'static str)> {
    Some(match end {
        End::Closed(_) => return None,
        End::Bye(_) | End::Broken => (1000, ""),
        End::Silent(_) => (close::GOING_AWAY, "silent"),
        End::Violated(violation) => (violation.close_code(), violation.as_str()),
        End::VersionUnsupported(_) => (close::VERSION_UNSUPPORTED, "version_unsupported"),
        End::Revoked => (close::CREDENTIALS_REVOKED, "credentials_revoked"),
        End::Replaced => (close::REPLACED_BY_NEWER_SESSION, "replaced_by_newer_session"),
        End::Drained => (close::RESTART, "restart"),
    })
}

/// What the end of a link is called when ends are counted.
fn cause(end: &End) -> &'static str {
    match end {
        End::Bye(_) => "bye",
        End::Closed(_) => "closed",
        End::Broken => "broken",
        End::Silent(_) => "silent",
        End::Violated(violation) => violation.as_str(),
        End::VersionUnsupported(_) => "version_unsupported",
        End::Revoked => "credentials_revoked",
        End::Replaced => "replaced_by_newer_session",
        End::Drained => "drained",
    }
}

async fn serve(
    socket: &mut WebSocket,
    caller: Caller,
    arrival: Arrival,
    state: &AppState,
) -> Result<End, StoreError> {
    // In a box of its own, like everything that is over when a link is idle: an idle link is what there are most of.
    let (mut link, greeting) = match Box::pin(begin(socket, caller, state)).await? {
        Ok(begun) => begun,
        Err(end) => {
            metrics::hello(cause(&end));
            return Ok(end);
        }
    };
    drop(arrival);
    metrics::hello("welcomed");
    let ended = match Box::pin(link.welcome(greeting)).await {
        Ok(None) => link.live().await,
        Ok(Some(end)) => Ok(end),
        Err(error) => Err(error),
    };
    let end = ended.as_ref().unwrap_or(&End::Broken);
    metrics::link_ended(ended.as_ref().map_or("failed", cause));
    if let Some(presence) = presence::after(end, Utc::now()) {
        let now = Utc::now();
        let ended = Ended { epoch: link.epoch, presence, at: now, heard_at: now - link.heard_at.elapsed() };
        state.inbox.end(link.device.pos_server_id, ended);
    }
    ended
}

/// Hears the hello, writes that the session has begun and takes its place; or gives the end of one that is none.
async fn begin<'a>(
    socket: &'a mut WebSocket,
    Caller { device, token }: Caller,
    state: &'a AppState,
) -> Result<Result<(Link<'a>, Greeting), End>, StoreError> {
    let hello = match first_frame(socket, state).await {
        Ok(hello) => hello,
        Err(end) => return Ok(Err(end)),
    };
    let id = device.pos_server_id;
    let version = hello.report.as_ref().and_then(|report| report.report.pos_version.clone());
    let refused = (!presence::is_supported(version.as_deref()))
        .then(|| End::VersionUnsupported(version.unwrap_or_default()));
    let now = Utc::now();
    let standing =
        refused.as_ref().and_then(|end| presence::after(end, now)).unwrap_or_else(Presence::online);
    let unfinished_jobs = hello.unfinished_jobs.clone();
    let told = hello.report.as_ref().map(|report| (report.pos_state == PosState::Running, Instant::now()));
    let begin = Begin { node: state.node_id, device, token, hello, presence: standing, at: now };
    let begun = match state.inbox.ask(begin, Change::Begin).await? {
        Ok(begun) => begun,
        Err(NotBegun::Revoked) => return Ok(Err(End::Revoked)),
        Err(NotBegun::TokenUsed) => return Ok(Err(End::Replaced)),
    };
    let Some(place) = state.registry.enter(id, device.id, begun.epoch) else {
        return Ok(Err(End::Replaced));
    };
    state.links.replaced(id, begun.before_on, begun.epoch);
    if let Some(end) = refused {
        return Ok(Err(end));
    }
    let (epoch, heard_at, waiting) = (begun.epoch, Instant::now(), Waiting::default());
    let unwritten = VecDeque::new();
    let link = Link { socket, place, state, device, epoch, heard_at, told, waiting, unwritten };
    Ok(Ok((link, Greeting { unfinished_jobs, time_zone: begun.time_zone })))
}

/// Waits for the hello that begins a session.
async fn first_frame(socket: &mut WebSocket, state: &AppState) -> Result<Hello, End> {
    let no_hello = End::Violated(Violation::NoHello);
    let hello = async {
        loop {
            match read(socket.recv().await) {
                Input::Frame(frame) => match *frame {
                    ConnectorFrame::Hello(hello) => return Ok(hello),
                    _ => return Err(no_hello.clone()),
                },
                Input::Nothing => {}
                Input::End(end) => return Err(end),
            }
        }
    };
    tokio::select! {
        () = state.shutdown.cancelled() => Err(End::Drained),
        hello = timeout(state.config.patience.hello, hello) => hello.unwrap_or(Err(no_hello.clone())),
    }
}

/// What a store is told first depends on this.
struct Greeting {
    /// The jobs in the connector's journal.
    unfinished_jobs: Vec<JobId>,
    /// The outlet's time zone.
    time_zone: String,
}

/// A session that has begun.
struct Link<'a> {
    socket: &'a mut WebSocket,
    place: Place,
    state: &'a AppState,
    device: Device,
    epoch: i64,
    /// When the connector was last heard.
    heard_at: Instant,
    /// Whether the POS server answered when that was last told to the inbox, and when that was.
    told: Option<(bool, Instant)>,
    /// Requests of third parties that the store has not answered.
    waiting: Waiting,
    /// What it said of its jobs and could not be written yet, in the order in which it came.
    unwritten: VecDeque<ConnectorFrame>,
}

impl Link<'_> {
    /// Says welcome, and what the store has to be told after its hello; gives the end when the session ends with it.
    async fn welcome(&mut self, greeting: Greeting) -> Result<Option<End>, StoreError> {
        let welcome = CloudFrame::Welcome {
            session_epoch: self.epoch,
            heartbeat_seconds: HEARTBEAT_SECONDS,
            server_time: Utc::now(),
            time_zone: Some(greeting.time_zone),
        };
        let mut frames = vec![welcome];
        // Read after the place was taken: a job posted from now on is sent by who posts it.
        frames.extend(self.dispatch().after_hello(&greeting.unfinished_jobs).await?);
        for frame in frames {
            if !self.say(&frame).await {
                return Ok(Some(End::Broken));
            }
        }
        Ok(None)
    }

    /// Hears and tells until the end.
    async fn live(&mut self) -> Result<End, StoreError> {
        let patience = &self.state.config.patience;
        let mut pings = interval_at(Instant::now() + patience.ping_every, patience.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_at = self.heard_at + patience.silence;
        loop {
            tokio::select! {
                message = self.socket.recv() => {
                    self.heard_at = Instant::now();
                    silent_at = self.heard_at + patience.silence;
                    match read(message) {
                        Input::Nothing => {}
                        Input::End(end) => return Ok(end),
                        Input::Frame(frame) => if let Some(end) = Box::pin(self.hear(*frame)).await? {
                            return Ok(end);
                        },
                    }
                }
                command = self.place.commands.recv() => match command {
                    Some(Command::Send(frame)) => if !self.say(&frame).await {
                        return Ok(End::Broken);
                    },
                    Some(Command::Ask(question)) => if let Some(text) = self.waiting.take(*question)
                        && !send(self.socket, Message::Text(text.into())).await
                    {
                        return Ok(End::Broken);
                    },
                    Some(Command::Replaced) | None => return Ok(End::Replaced),
                    Some(Command::Revoked) => return Ok(End::Revoked),
                    Some(Command::Drain) => return Ok(self.drain().await),
                },
                _ = pings.tick() => {
                    self.waiting.forget();
                    if let Some(end) = Box::pin(self.write_of_jobs()).await? {
                        return Ok(end);
                    }
                    if !send(self.socket, Message::Ping(Vec::new().into())).await {
                        return Ok(End::Broken);
                    }
                }
                () = tokio::time::sleep_until(silent_at) => {
                    // Woken late, it is this process that stood still, and what stores said meanwhile waits to
                    // be read: each is heard before it is given up.
                    if silent_at.elapsed() < patience.ping_every {
                        return Ok(End::Silent(self.heard_at.elapsed()));
                    }
                    silent_at = Instant::now() + patience.ping_every;
                }
            }
        }
    }

    /// Does what a frame asks for; gives the end when the session ends with it.
    async fn hear(&mut self, frame: ConnectorFrame) -> Result<Option<End>, StoreError> {
        let id = self.device.pos_server_id;
        match frame {
            ConnectorFrame::Hello(_) => return Ok(Some(End::Violated(Violation::SecondHello))),
            ConnectorFrame::Bye { reason } => return Ok(Some(End::Bye(reason))),
            ConnectorFrame::Report { report } => {
                let version = report.report.pos_version.clone();
                self.told = Some((report.pos_state == PosState::Running, Instant::now()));
                self.state.inbox.report(id, Reported { epoch: self.epoch, report, at: Utc::now() });
                if !presence::is_supported(version.as_deref()) {
                    return Ok(Some(End::VersionUnsupported(version.unwrap_or_default())));
                }
            }
            ConnectorFrame::Alive { pos_answers } => self.alive(pos_answers),
            ConnectorFrame::Relayed(relayed) => self.waiting.answer(relayed),
            // The next one tells more, and what was said before it comes first.
            ConnectorFrame::JobProgress { .. } if !self.unwritten.is_empty() => {}
            ConnectorFrame::JobAccepted { .. }
            | ConnectorFrame::JobProgress { .. }
            | ConnectorFrame::JobFinished(_) => {
                if self.unwritten.len() == MOST_UNWRITTEN {
                    return Err(StoreError::NotWritten);
                }
                self.unwritten.push_back(frame);
                return self.write_of_jobs().await;
            }
        }
        Ok(None)
    }

    /// Writes what the store said of its jobs, and answers; gives the end when the session ends with it. What the database
    /// does not take now is tried again at the next ping: that costs no link.
    async fn write_of_jobs(&mut self) -> Result<Option<End>, StoreError> {
        while let Some(frame) = self.unwritten.front().cloned() {
            let is_progress = matches!(frame, ConnectorFrame::JobProgress { .. });
            let answer = match self.dispatch().said(frame).await {
                Err(StoreError::NotWritten) => {
                    if is_progress {
                        self.unwritten.pop_front();
                    }
                    return Ok(None);
                }
                answer => answer?,
            };
            self.unwritten.pop_front();
            if let Some(answer) = answer
                && !self.say(&answer).await
            {
                return Ok(Some(End::Broken));
            }
        }
        Ok(None)
    }

    /// Tells that the store lives: at once when its POS server answers or falls silent, else now and then.
    /// Each telling is a status for every desktop.
    fn alive(&mut self, pos_answers: bool) {
        let due = |(told, at): (bool, Instant)| {
            told != pos_answers || at.elapsed() >= self.state.config.patience.alive_every
        };
        if self.told.is_none_or(due) {
            self.told = Some((pos_answers, Instant::now()));
            self.state.inbox.alive(self.device.pos_server_id, pos_answers);
        }
    }

    async fn drain(&mut self) -> End {
        // Where links are closed one after the other, they need not be spread once more.
        let spread = self.state.config.drain.as_secs();
        let reconnect_within_seconds = RECONNECT_WITHIN_SECONDS.saturating_sub(spread).max(1);
        self.say(&CloudFrame::Drain { reconnect_within_seconds }).await;
        End::Drained
    }

    fn dispatch(&self) -> Dispatch<'_> {
        Dispatch { state: self.state, id: self.device.pos_server_id }
    }

    async fn say(&mut self, frame: &CloudFrame) -> bool {
        let now_sent = match frame {
            CloudFrame::Job(order) => {
                Some(CloudFrame::Job(JobOrder { sent_at: Some(Utc::now()), ..order.clone() }))
            }
            _ => None,
        };
        let text = serde_json::to_string(now_sent.as_ref().unwrap_or(frame))
            .unwrap_or_else(|_| unreachable!("frames are plain JSON"));
        send(self.socket, Message::Text(text.into())).await
    }
}

/// Sends a message; tells whether it went.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SEND, socket.send(message)).await, Ok(Ok(())))
}

/// What came in.
enum Input {
    Frame(Box<ConnectorFrame>),
    /// A ping, a pong, or a frame of a newer protocol.
    Nothing,
    End(End),
}

fn read(message: Option<Result<Message, axum::Error>>) -> Input {
    match message {
        Some(Ok(Message::Text(text))) => parse(text.as_str()),
        Some(Ok(Message::Binary(_))) => Input::End(End::Violated(Violation::Binary)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Input::Nothing,
        Some(Ok(Message::Close(frame))) => Input::End(End::Closed(frame.map_or(1005, |frame| frame.code))),
        Some(Err(error)) => Input::End(broken(&error)),
        None => Input::End(End::Broken),
    }
}

fn parse(text: &str) -> Input {
    /// What any frame has.
    #[derive(Deserialize)]
    struct AnyFrame {
        r#type: String,
    }
    /// The types of [`ConnectorFrame`].
    const KNOWN: &[&str] =
        &["hello", "report", "alive", "job_accepted", "job_progress", "job_finished", "relayed", "bye"];

    if text.len() > MAX_FRAME_BYTES {
        return Input::End(End::Violated(Violation::TooLarge));
    }
    match serde_json::from_str(text) {
        Ok(frame) => Input::Frame(Box::new(frame)),
        Err(_) => match serde_json::from_str::<AnyFrame>(text) {
            Ok(AnyFrame { r#type }) if !KNOWN.contains(&r#type.as_str()) => Input::Nothing,
            _ => Input::End(End::Violated(Violation::Malformed)),
        },
    }
}

/// What an error of the WebSocket says about the peer.
fn broken(error: &axum::Error) -> End {
    use tungstenite::error::{Error, ProtocolError};
    match error.source().and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::Capacity(_)) => End::Violated(Violation::TooLarge),
        Some(Error::Utf8(_)) => End::Violated(Violation::NotUtf8),
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => End::Broken,
        Some(Error::Protocol(_)) => End::Violated(Violation::Malformed),
        _ => End::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        fn size<F>(_: impl Fn(Box<WebSocket>, Caller, Arrival, AppState) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(run) <= 1536, "{} bytes", size(run));
    }

    #[test]
    fn frames_are_told_from_what_is_none() {
        let ends = |text: &str| match parse(text) {
            Input::End(End::Violated(violation)) => Some(violation),
            _ => None,
        };
        assert!(matches!(parse(r#"{"type":"alive","pos_answers":true}"#), Input::Frame(_)));
        assert!(matches!(parse(r#"{"type":"weather","sun":true}"#), Input::Nothing));
        for text in ["", "hello", "[]", "{}", r#"{"type":1}"#, r#"{"type":"alive"}"#, r#"{"type":"hello"}"#] {
            assert_eq!(ends(text), Some(Violation::Malformed), "{text}");
        }
        assert_eq!(ends(&"x".repeat(MAX_FRAME_BYTES + 1)), Some(Violation::TooLarge));
    }
}
