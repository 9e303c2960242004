//! The line between a store and the cloud: it carries links as a bad network does. Packets are lost, so that what they
//! held arrives late; whole frames arrive again, at once or later; the line is cut.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde::de::DeserializeOwned;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

use crate::facts::Facts;
use crate::plan::Weather;
use crate::template::CLOUD;

/// How long a connection may take: what the connector grants its own.
const CONNECT: Duration = Duration::from_secs(10);
/// After how long a lost packet is sent again, the first time; the wait doubles.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// How often that is tried.
const RETRIES: u32 = 6;
/// How many frames may come again later.
const REMEMBERED: usize = 20;

/// A store's line to the cloud.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) store: usize,
    pub(crate) nodes: usize,
    pub(crate) weather: Cell<Weather>,
    /// Cuts what the line carries.
    pub(crate) cut: Notify,
    pub(crate) facts: Rc<Facts>,
    pub(crate) random: RefCell<SmallRng>,
}

/// Carries one link after the other.
pub(crate) async fn carry_all(line: Rc<Line>, mut links: mpsc::Receiver<DuplexStream>) {
    while let Some(link) = links.recv().await {
        let line = line.clone();
        tokio::task::spawn_local(async move {
            let epoch = Cell::new(None);
            tokio::select! {
                () = line.cut.notified() => {}
                () = carry(&line, link, &epoch) => {}
            }
            line.facts.line_ended(line.store, epoch.get());
        });
    }
}

async fn carry(line: &Line, link: DuplexStream, epoch: &Cell<Option<i64>>) {
    let node = line.random.borrow_mut().random_range(0..line.nodes);
    let connecting = TcpStream::connect((format!("{}-{node}", CLOUD.0), CLOUD.1));
    let Ok(Ok(wire)) = timeout(CONNECT, connecting).await else { return };
    let (from_store, to_store) = tokio::io::split(link);
    let (from_cloud, to_cloud) = wire.into_split();
    let up = forward(line, from_store, to_cloud, |frame: &ConnectorFrame| {
        line.facts.store_said(line.store);
        // What is said once a session would end it if it were said twice.
        !matches!(frame, ConnectorFrame::Hello(_) | ConnectorFrame::Bye { .. })
    });
    let down = forward(line, from_cloud, to_store, |frame: &CloudFrame| {
        line.facts.cloud_said(line.store, frame);
        if let CloudFrame::Welcome { session_epoch, .. } = frame {
            epoch.set(Some(*session_epoch));
        }
        !matches!(frame, CloudFrame::Welcome { .. } | CloudFrame::Drain { .. })
    });
    // Either end takes the other with it once it has let go of both directions.
    tokio::select! {
        _ = up => {}
        _ = down => {}
    }
}

/// Forwards one direction to its end. `repeatable` sees each frame and tells whether it may come again.
async fn forward<F: DeserializeOwned>(
    line: &Line,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    repeatable: impl Fn(&F) -> bool,
) -> std::io::Result<()> {
    let mut stream = Stream::default();
    let mut earlier: Vec<Vec<u8>> = Vec::new();
    while let Some(unit) = stream.next(&mut from).await? {
        sleep(line.lost()).await;
        to.write_all(&unit).await?;
        let Some(frame) = text(&unit).and_then(|text| serde_json::from_slice::<F>(&text).ok()) else {
            continue;
        };
        if !repeatable(&frame) {
            continue;
        }
        if earlier.len() == REMEMBERED {
            earlier.remove(0);
        }
        earlier.push(unit);
        if let Some(again) = line.again(&earlier) {
            to.write_all(again).await?;
        }
    }
    to.shutdown().await
}

impl Line {
    /// How long a packet takes longer as it is lost, maybe more than once.
    fn lost(&self) -> Duration {
        let (loss, mut random) = (self.weather.get().loss, self.random.borrow_mut());
        (0..RETRIES).take_while(|_| random.random_bool(loss)).map(|times| RETRANSMIT * 2_u32.pow(times)).sum()
    }

    /// A frame that arrives again.
    fn again<'a>(&self, earlier: &'a [Vec<u8>]) -> Option<&'a Vec<u8>> {
        let mut random = self.random.borrow_mut();
        if !random.random_bool(self.weather.get().replay) {
            return None;
        }
        if random.random_bool(0.5) { earlier.last() } else { earlier.choose(&mut *random) }
    }
}

/// A stream that begins with an HTTP head and goes on with frames of a WebSocket.
#[derive(Debug, Default)]
struct Stream {
    read: Vec<u8>,
    upgraded: bool,
}

impl Stream {
    /// The head, or the next frame; nothing at the end.
    async fn next(&mut self, from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(length) = self.whole() {
                self.upgraded = true;
                let rest = self.read.split_off(length);
                return Ok(Some(std::mem::replace(&mut self.read, rest)));
            }
            if from.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// How long the first unit is, once it is there.
    fn whole(&self) -> Option<usize> {
        if !self.upgraded {
            let end = self.read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
            // A refusal has a body, and nothing comes after it.
            let switched = self.read.starts_with(b"GET") || self.read.starts_with(b"HTTP/1.1 101");
            return Some(if switched { end } else { self.read.len() });
        }
        let (header, length) = header(&self.read)?;
        (self.read.len() >= header + length).then_some(header + length)
    }
}

/// How long a frame's header and its content are (RFC 6455, 5.2).
fn header(frame: &[u8]) -> Option<(usize, usize)> {
    let mask = if frame.get(1)? & 0x80 == 0 { 0 } else { 4 };
    match frame[1] & 0x7f {
        126 => Some((4 + mask, u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?).into())),
        127 => Some((10 + mask, u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?) as usize)),
        short => Some((2 + mask, short.into())),
    }
}

/// What a text frame says, without its mask.
fn text(frame: &[u8]) -> Option<Vec<u8>> {
    /// The last frame of a message, which is text.
    const WHOLE_TEXT: u8 = 0x81;
    if *frame.first()? != WHOLE_TEXT {
        return None;
    }
    let (header, length) = header(frame)?;
    let content = frame.get(header..header + length)?;
    if frame[1] & 0x80 == 0 {
        return Some(content.to_vec());
    }
    let mask = frame.get(header - 4..header)?;
    Some(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect())
}
