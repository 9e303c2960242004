//! The store's end of a link, frame by frame.

use futures_util::{SinkExt, StreamExt};
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, JobOrder};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::SOON;

/// The store's end of a WebSocket.
pub(crate) struct Line {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Line {
    pub(crate) async fn say(&mut self, frame: &ConnectorFrame) {
        self.say_text(&serde_json::to_string(frame).unwrap()).await;
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next frame from the cloud.
    pub(crate) async fn hear(&mut self) -> CloudFrame {
        let next = async {
            loop {
                match self.socket.next().await.expect("the link goes on").unwrap() {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("{other:?} is no frame"),
                }
            }
        };
        timeout(SOON, next).await.expect("a frame, soon")
    }

    /// The epoch of the welcome, or the close code that came instead.
    pub(crate) async fn welcome_or_close(&mut self) -> Result<i64, u16> {
        let answer = async {
            loop {
                match self.socket.next().await.expect("an answer to the hello").unwrap() {
                    Message::Text(text) => match serde_json::from_str(&text).unwrap() {
                        CloudFrame::Welcome { session_epoch, .. } => return Ok(session_epoch),
                        other => panic!("{other:?} is no welcome"),
                    },
                    Message::Close(Some(frame)) => return Err(frame.code.into()),
                    _ => {}
                }
            }
        };
        timeout(SOON, answer).await.expect("an answer, soon")
    }

    /// Waits for the acknowledgement of a job's end. Jobs that were sent again meanwhile, because the store was slow
    /// to accept them, are known to it.
    pub(crate) async fn acknowledged(&mut self, id: JobId) {
        loop {
            match self.hear().await {
                CloudFrame::Ack { id: ended } if ended == id => return,
                CloudFrame::Job(_) => {}
                other => panic!("{other:?} is no acknowledgement of {id}"),
            }
        }
    }

    /// The next frame, which must be a job.
    pub(crate) async fn job(&mut self) -> JobOrder {
        match self.hear().await {
            CloudFrame::Job(order) => order,
            other => panic!("{other:?} is no job"),
        }
    }

    /// The close code with which the cloud ends the link; frames before it are skipped.
    pub(crate) async fn closed(&mut self) -> u16 {
        let closed = async {
            while let Some(message) = self.socket.next().await {
                match message {
                    Ok(Message::Close(Some(frame))) => return frame.code.into(),
                    Ok(_) => {}
                    Err(error) => panic!("cut without a closing frame: {error}"),
                }
            }
            panic!("ended without a closing frame");
        };
        timeout(SOON, closed).await.expect("an end, soon")
    }

    /// Closes with a code, which the cloud must answer with the same.
    pub(crate) async fn close(mut self, code: u16) {
        self.socket.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await.unwrap();
        assert_eq!(self.closed().await, code);
    }
}
