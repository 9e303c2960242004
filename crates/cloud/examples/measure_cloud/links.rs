//! Many links at once: held, opened and closed, cut.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::Utc;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use futures_util::{FutureExt, SinkExt};
use serde_json::{Value, json};
use tillwatch_protocol::ids::BootId;
use tillwatch_protocol::link::frame::{ConnectorFrame, Hello, StoreReport};
use tillwatch_protocol::report::Report;
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Line, Place, Refused};

/// How many handshakes are under way at a time.
const AT_A_TIME: usize = 64;
/// How long a store tries before the run is given up.
const GIVEN_UP: Duration = Duration::from_mins(3);
/// Between two questions to the API while stores come back.
const PROBE_EVERY: Duration = Duration::from_millis(10);

/// Says hello and waits for the welcome.
pub(crate) async fn welcome(line: &mut Line) -> anyhow::Result<()> {
    let report = Report { pos_version: Some("34.5.2".into()), ..Report::default() };
    let hello = ConnectorFrame::Hello(Hello {
        connector_version: "0.1.0".into(),
        boot_id: BootId::new(),
        started_at: Utc::now(),
        report: Some(StoreReport { pos_state: PosState::Running, report }),
        unfinished_jobs: Vec::new(),
        drops: 0,
    });
    line.send(Message::text(serde_json::to_string(&hello)?)).await?;
    while let Some(message) = line.next().await {
        match message? {
            Message::Text(text) if text.contains("\"welcome\"") => return Ok(()),
            Message::Close(frame) => bail!("closed instead of a welcome: {frame:?}"),
            _ => {}
        }
    }
    bail!("cut instead of a welcome")
}

/// Speaks what the NATS protocol asks of a client that has nothing to say.
async fn join_nats(line: &mut Line) -> anyhow::Result<()> {
    line.send(Message::binary(&b"CONNECT {\"verbose\":false}\r\nPING\r\n"[..])).await?;
    while let Some(message) = line.next().await {
        if message?.into_data().windows(4).any(|four| four == b"PONG") {
            return Ok(());
        }
    }
    bail!("cut instead of a PONG")
}

/// Answers what must be answered until the line ends.
async fn idle(line: &mut Line, nats: bool) -> anyhow::Result<()> {
    while let Some(message) = line.next().await {
        if nats && message?.into_data().starts_with(b"PING") {
            line.send(Message::binary(&b"PONG\r\n"[..])).await?;
        }
    }
    Ok(())
}

async fn open(client: &Client, number: usize) -> anyhow::Result<Line> {
    loop {
        match client.open(number).await {
            Ok(line) => return Ok(line),
            Err(Refused::ComeBack(seconds)) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            Err(Refused::Failed(error)) => return Err(error),
        }
    }
}

#[expect(clippy::print_stdout, reason = "who started this waits for the line")]
pub(crate) async fn hold(place: &Place, count: usize, nats: bool) -> anyhow::Result<Value> {
    let client = Client::new(place)?;
    let lost = Arc::new(AtomicUsize::new(0));
    stream::iter(0..count)
        .map(|number| {
            let (client, lost) = (client.clone(), lost.clone());
            async move {
                let mut line = open(&client, number).await?;
                if nats {
                    join_nats(&mut line).await?;
                } else {
                    welcome(&mut line).await?;
                }
                tokio::spawn(async move {
                    let _ = idle(&mut line, nats).await;
                    lost.fetch_add(1, Ordering::Relaxed);
                });
                anyhow::Ok(())
            }
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect::<Vec<_>>()
        .await?;
    println!("links are up");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(json!({ "links": count, "lost": lost.load(Ordering::Relaxed) }))
}

pub(crate) async fn handshakes(place: &Place, count: usize) -> anyhow::Result<Value> {
    let client = Client::new(place)?;
    let began = Instant::now();
    stream::iter(0..count)
        .map(|number| {
            let client = client.clone();
            // The line is dropped: the peer sees its connection end.
            async move { open(&client, number).await.map(drop) }
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(json!({ "handshakes": count, "seconds": began.elapsed().as_secs_f64() }))
}

pub(crate) async fn cut(place: &Place, count: usize, access_token: &str) -> anyhow::Result<Value> {
    let client = Client::new(place)?;
    let (cut, cutting) = watch::channel(None::<Instant>);
    let turned_away = Arc::new(AtomicUsize::new(0));
    let (up, waiting) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(AT_A_TIME)));
    let mut stores = tokio::task::JoinSet::new();
    for number in 0..count {
        let (client, mut cutting, up) = (client.clone(), cutting.clone(), up.clone());
        let (turned_away, waiting) = (turned_away.clone(), waiting.clone());
        stores.spawn(async move {
            let turn = waiting.acquire().await?;
            let mut line = open(&client, number).await?;
            welcome(&mut line).await?;
            drop(turn);
            up.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                ended = idle(&mut line, false) => bail!("a link ended before it was cut: {ended:?}"),
                changed = cutting.changed() => changed?,
            }
            let cut_at = cutting.borrow().context("cut")?;
            drop(line);
            let line = come_back(&client, number, &turned_away).await;
            anyhow::Ok((cut_at.elapsed(), line))
        });
    }
    while up.load(Ordering::Relaxed) < count {
        if let Some(ended) = stores.join_next().now_or_never().flatten() {
            ended??;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let quiet = probe(&client, access_token, tokio::time::sleep(Duration::from_secs(3))).await?;
    cut.send(Some(Instant::now()))?;
    let mut back = Vec::with_capacity(count);
    let mut lines = Vec::with_capacity(count);
    let all_back = async {
        while let Some(ended) = stores.join_next().await {
            let (after, line) = ended??;
            back.push(after);
            lines.extend(line);
        }
        anyhow::Ok(())
    };
    let mut result = Ok(());
    let busy = probe(&client, access_token, async { result = all_back.await }).await?;
    result?;
    let longest = back.iter().max().map_or(0.0, Duration::as_secs_f64);
    Ok(json!({
        "seconds": longest,
        "never_back": back.len() - lines.len(),
        "turned_away": turned_away.load(Ordering::Relaxed),
        "quiet_p99_seconds": quiet,
        "api_p99_seconds": busy,
    }))
}

/// Comes back as a connector does: full jitter over a doubling wait, and what the cloud asks for. Nothing when it was
/// let in at none of its tries for so long that it counts as refused for good.
async fn come_back(client: &Client, number: usize, turned_away: &AtomicUsize) -> Option<Line> {
    let began = Instant::now();
    let mut ceiling = 1.0_f64;
    let mut wait = rand::random::<f64>();
    while began.elapsed() < GIVEN_UP {
        tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        match client.open(number).await {
            Ok(mut line) => {
                if welcome(&mut line).await.is_ok() {
                    return Some(line);
                }
            }
            Err(Refused::ComeBack(seconds)) => {
                turned_away.fetch_add(1, Ordering::Relaxed);
                wait = seconds as f64 * (1.0 + rand::random::<f64>() / 4.0);
                continue;
            }
            Err(Refused::Failed(_)) => {}
        }
        ceiling = (ceiling * 2.0).min(60.0);
        wait = ceiling * rand::random::<f64>();
    }
    None
}

/// Asks the API on a thread of its own until the work is done; gives the time that 99 of 100 answers took at
/// most, in seconds.
async fn probe(client: &Client, token: &str, work: impl Future<Output = ()>) -> anyhow::Result<f64> {
    let (done, stop) = watch::channel(false);
    let (client, token) = (client.clone(), token.to_owned());
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut http = client.http(&token).await?;
            let mut took = Vec::new();
            while !*stop.borrow() {
                let began = Instant::now();
                http.ask("GET", "/pos-servers?limit=100&sort=outlet", "").await?;
                took.push(began.elapsed());
                tokio::time::sleep(PROBE_EVERY).await;
            }
            anyhow::Ok(took)
        })
    });
    work.await;
    done.send(true)?;
    let took = tokio::task::spawn_blocking(move || asking.join()).await?;
    let took = took.map_err(|_| anyhow::anyhow!("the probe broke"))??;
    Ok(percentile(took, 99).as_secs_f64())
}

/// The time that so many of a hundred took at most.
pub(crate) fn percentile(mut took: Vec<Duration>, percent: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() * percent / 100).min(took.len() - 1)]
}
