//! One session of the link: connect, upgrade, carry frames, notice silence. What the frames mean and when
//! the next session begins is the agent's business.

mod backoff;
mod connect;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame};
use tillwatch_protocol::link::{HEARTBEAT_SECONDS, MAX_FRAME_BYTES, SILENCE_SECONDS, close};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

pub(crate) use backoff::{Backoff, jitter};
pub(crate) use connect::{ConnectError, authority, open_tcp, open_tls, probe_upgrade};

use crate::cloud_client::CloudClient;

/// How many frames may wait to be sent. A session with more is stuck.
const QUEUE_FRAMES: usize = 512;
/// How long the other side may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a session tells the agent.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The upgrade succeeded: it is time for the hello.
    Opened,
    /// The cloud says something.
    Frame(Box<CloudFrame>),
    /// The cloud orders a job that this version does not know.
    UnknownJob(JobId),
    /// The session never came to be.
    Refused(ConnectError),
    /// The session has ended.
    Closed {
        /// The cloud's close code, if it said one.
        code: Option<u16>,
    },
}

/// A session that runs in a task of its own.
#[derive(Debug)]
pub(crate) struct Session {
    frames: mpsc::Sender<ConnectorFrame>,
    task: AbortHandle,
}

impl Session {
    /// Begins a session. `report` is called with each event; the last is `Refused` or `Closed`.
    pub(crate) fn open<F, R>(client: CloudClient, tasks: &mut tokio::task::JoinSet<()>, report: F) -> Self
    where
        F: Fn(LinkEvent) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send,
    {
        let (frames, outgoing) = mpsc::channel(QUEUE_FRAMES);
        let task = tasks.spawn(async move {
            match connect::connect(&client).await {
                Ok(socket) => {
                    report(LinkEvent::Opened).await;
                    let code = carry(socket, outgoing, &report, PATIENCE).await;
                    report(LinkEvent::Closed { code }).await;
                }
                Err(error) => report(LinkEvent::Refused(error)).await,
            }
        });
        Self { frames, task }
    }

    /// Sends a frame; false when the session is stuck. A frame that it can't take any more is lost with it:
    /// whatever matters is said again in the next one.
    #[must_use]
    pub(crate) fn send(&self, frame: ConnectorFrame) -> bool {
        !matches!(self.frames.try_send(frame), Err(mpsc::error::TrySendError::Full(_)))
    }

    /// Ends the session at once, without a word. To end it cleanly, drop it.
    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}

/// How the other side's life is watched.
#[derive(Clone, Copy)]
struct Patience {
    ping_every: Duration,
    silence: Duration,
}

const PATIENCE: Patience = Patience {
    ping_every: Duration::from_secs(HEARTBEAT_SECONDS),
    silence: Duration::from_secs(SILENCE_SECONDS),
};

/// Carries frames until either side ends the session. Gives the cloud's close code.
async fn carry<S, F, R>(
    mut socket: WebSocketStream<S>,
    mut outgoing: mpsc::Receiver<ConnectorFrame>,
    report: &F,
    Patience { ping_every, silence }: Patience,
) -> Option<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(LinkEvent) -> R + Send + Sync,
    R: Future<Output = ()> + Send,
{
    let mut pings = tokio::time::interval(ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    let mut silent_at = Instant::now() + silence;
    loop {
        tokio::select! {
            message = socket.next() => {
                silent_at = Instant::now() + silence;
                match message {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(event) = read_frame(text.as_str()) {
                            report(event).await;
                        }
                    }
                    Some(Ok(Message::Close(frame))) => {
                        // The answer goes out with the flush inside of the next read.
                        let _ = tokio::time::timeout(CLOSE_TIMEOUT, socket.next()).await;
                        return frame.map(|frame| frame.code.into());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the link broke");
                        return None;
                    }
                    None => return None,
                }
            }
            frame = outgoing.recv() => {
                let Some(frame) = frame else {
                    close_cleanly(&mut socket).await;
                    return None;
                };
                if !send(&mut socket, &frame, silent_at).await {
                    return None;
                }
            }
            _ = pings.tick() => {
                let ping = socket.send(Message::Ping(Vec::new().into()));
                if !matches!(tokio::time::timeout_at(silent_at, ping).await, Ok(Ok(()))) {
                    return None;
                }
            }
            () = tokio::time::sleep_until(silent_at) => {
                tracing::warn!(seconds = silence.as_secs(), "the cloud is silent; the link is given up");
                return None;
            }
        }
    }
}

fn read_frame(text: &str) -> Option<LinkEvent> {
    let error = match serde_json::from_str(text) {
        Ok(frame) => return Some(LinkEvent::Frame(Box::new(frame))),
        Err(error) => error,
    };
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    if value["type"] == "job"
        && let Some(id) = value["id"].as_str().and_then(|id| id.parse().ok())
    {
        return Some(LinkEvent::UnknownJob(id));
    }
    tracing::warn!(%error, "the cloud sent a frame that is not understood; it is ignored");
    None
}

async fn send<S>(socket: &mut WebSocketStream<S>, frame: &ConnectorFrame, until: Instant) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = serde_json::to_string(frame).expect("a frame is plain JSON");
    if text.len() > MAX_FRAME_BYTES {
        // Reports and results are capped where they are made: this is a bug, but no reason to lose the link.
        tracing::error!(bytes = text.len(), "a frame is too large; it is not sent");
        return true;
    }
    matches!(tokio::time::timeout_at(until, socket.send(Message::text(text))).await, Ok(Ok(())))
}

async fn close_cleanly<S>(socket: &mut WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let goodbye = CloseFrame { code: CloseCode::from(close::GOING_AWAY), reason: "".into() };
    let farewell = async {
        if socket.close(Some(goodbye)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::DuplexStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    const IMPATIENCE: Patience =
        Patience { ping_every: Duration::from_millis(20), silence: Duration::from_millis(200) };

    async fn pair() -> (WebSocketStream<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (store, cloud) = tokio::io::duplex(64 * 1024);
        (
            WebSocketStream::from_raw_socket(store, Role::Client, None).await,
            WebSocketStream::from_raw_socket(cloud, Role::Server, None).await,
        )
    }

    #[tokio::test]
    async fn a_cloud_that_falls_silent_is_given_up() {
        let (store, _cloud) = pair().await;
        let (_frames, outgoing) = mpsc::channel(1);
        let began = Instant::now();
        let code = carry(store, outgoing, &|_| std::future::ready(()), IMPATIENCE).await;
        assert_eq!(code, None);
        assert!(began.elapsed() >= IMPATIENCE.silence);
    }

    #[tokio::test]
    async fn a_cloud_that_answers_pings_is_kept() {
        let (store, mut cloud) = pair().await;
        let (_frames, outgoing) = mpsc::channel(1);
        let answering = async {
            // Three times as long as silence is borne.
            for _ in 0..30 {
                assert!(matches!(cloud.next().await, Some(Ok(Message::Ping(_)))));
            }
            let frame = CloseFrame { code: close::RESTART.into(), reason: "".into() };
            cloud.close(Some(frame)).await.unwrap();
            while cloud.next().await.is_some() {}
        };
        let carrying = carry(store, outgoing, &|_| std::future::ready(()), IMPATIENCE);
        let (code, ()) = tokio::join!(carrying, answering);
        assert_eq!(code, Some(close::RESTART));
    }

    proptest! {
        #[test]
        fn no_frame_breaks_the_reader(text in r#"\{"type":"(job|ack|cancel|drain|welcome|x)",.{0,60}\}|.{0,80}"#) {
            let _ = read_frame(&text);
        }
    }
}
