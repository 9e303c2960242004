//! A question that goes to a store and comes back with its answer, and the same through NATS.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Line, Place, Refused};
use crate::links::{percentile, welcome};

/// Requests before those that count.
const WARM_UP: usize = 100;

/// The store that is asked.
async fn store(client: &Client) -> anyhow::Result<Line> {
    let mut line = match client.open(0).await {
        Ok(line) => line,
        Err(Refused::ComeBack(_)) => anyhow::bail!("the store was turned away"),
        Err(Refused::Failed(error)) => return Err(error),
    };
    welcome(&mut line).await?;
    Ok(line)
}

/// Answers every frame of a type.
async fn answer(mut line: Line, answers: impl Fn(&Value) -> Vec<Value>) -> anyhow::Result<()> {
    while let Some(message) = line.next().await {
        if let Message::Text(text) = message? {
            for answer in answers(&serde_json::from_str(&text)?) {
                line.send(Message::text(answer.to_string())).await?;
            }
        }
    }
    Ok(())
}

fn figures(took: Vec<Duration>) -> Value {
    let p50 = percentile(took.clone(), 50).as_secs_f64();
    json!({ "p50_seconds": p50, "p99_seconds": percentile(took, 99).as_secs_f64() })
}

/// One after the other, in step, so that both sides have the same pauses.
fn pace(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every.max(Duration::from_micros(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

pub(crate) async fn relay(
    place: &Place,
    service_token: &str,
    count: usize,
    every: Duration,
) -> anyhow::Result<Value> {
    let client = Client::new(place)?;
    let line = store(&client).await?;
    let answering = tokio::spawn(answer(line, |frame| match frame["type"].as_str() {
        Some("relay") => {
            let body = json!({ "balance": "12.50" });
            vec![json!({ "type": "relayed", "id": frame["id"], "status": 200, "body": body })]
        }
        _ => Vec::new(),
    }));
    let mut http = client.http(service_token).await?;
    let path = format!("/pos-servers/{}/relay", client.pos_server(0));
    let body = json!({ "method": "GET", "path": "/guest-accounts/7", "timeout_ms": 5000 }).to_string();
    let mut took = Vec::with_capacity(count);
    let mut ticks = pace(every);
    for round in 0..WARM_UP + count {
        ticks.tick().await;
        let began = Instant::now();
        let answer = http.ask("POST", &path, &body).await?;
        if round >= WARM_UP {
            took.push(began.elapsed());
        }
        ensure!(answer["status"] == 200, "{answer}");
    }
    answering.abort();
    Ok(figures(took))
}

pub(crate) async fn jobs(place: &Place, access_token: &str, count: usize) -> anyhow::Result<Value> {
    let client = Client::new(place)?;
    let line = store(&client).await?;
    let answering = tokio::spawn(answer(line, |frame| match frame["type"].as_str() {
        Some("job") => vec![
            json!({ "type": "job_accepted", "id": frame["id"] }),
            json!({ "type": "job_finished", "id": frame["id"], "state": "succeeded",
                    "result": { "checks": [] } }),
        ],
        _ => Vec::new(),
    }));
    let mut http = client.http(access_token).await?;
    let path = format!("/pos-servers/{}/jobs", client.pos_server(0));
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        let job = http.ask("POST", &path, r#"{"kind":"diagnose"}"#).await?;
        took.push(began.elapsed());
        let path = format!("/jobs/{}", job["id"].as_str().context("a job without an id")?);
        while http.ask("GET", &path, "").await?["state"] != "succeeded" {
            ensure!(began.elapsed() < Duration::from_secs(10), "a job does not end");
        }
    }
    answering.abort();
    Ok(figures(took))
}

pub(crate) async fn nats(url: &str, count: usize, every: Duration) -> anyhow::Result<Value> {
    let (asking, answering) = (async_nats::connect(url).await?, async_nats::connect(url).await?);
    let mut questions = answering.subscribe("stores.1").await?;
    answering.flush().await?;
    let answer = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            if let Some(reply) = question.reply {
                let _ = answering.publish(reply, r#"{"status":200,"body":{"balance":"12.50"}}"#.into()).await;
            }
        }
    });
    let mut took = Vec::with_capacity(count);
    let mut ticks = pace(every);
    for round in 0..WARM_UP + count {
        ticks.tick().await;
        let began = Instant::now();
        let question = r#"{"method":"GET","path":"/guest-accounts/7","timeout_ms":5000}"#;
        asking.request("stores.1", question.into()).await?;
        if round >= WARM_UP {
            took.push(began.elapsed());
        }
    }
    answer.abort();
    Ok(figures(took))
}
