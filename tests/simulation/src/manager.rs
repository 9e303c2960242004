//! A manager who wants jobs done and some of them canceled, over HTTP. Each request is repeated until it is answered,
//! under the same idempotency key, as nobody knows what became of the one before.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::rest::job::JobKind;
use tokio::time::{sleep, sleep_until, timeout};
use turmoil::net::TcpStream;

use crate::facts::{Facts, Promise};
use crate::plan::Wish;
use crate::template::CLOUD;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before asking again.
const AGAIN: Duration = Duration::from_millis(700);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    pub(crate) access_token: String,
    pub(crate) nodes: usize,
    /// The POS servers, by number.
    pub(crate) pos_servers: Vec<String>,
    pub(crate) facts: Rc<Facts>,
}

impl Manager {
    /// Has all wishes fulfilled or refused.
    pub(crate) async fn run(self, wishes: Vec<(Duration, Wish)>) -> anyhow::Result<()> {
        let began = tokio::time::Instant::now();
        let mut asking = tokio::task::JoinSet::new();
        for (number, (at, wish)) in wishes.into_iter().enumerate() {
            sleep_until(began + at).await;
            let manager = self.clone();
            asking.spawn_local(async move { manager.fulfil(number, wish).await });
        }
        while let Some(asked) = asking.join_next().await {
            asked??;
        }
        self.facts.with(|happened| happened.manager_done = true);
        Ok(())
    }

    async fn fulfil(&self, number: usize, wish: Wish) -> anyhow::Result<()> {
        let Some(id) = self.start(number, wish).await? else { return Ok(()) };
        let Some(after) = wish.cancel_after else { return Ok(()) };
        sleep(after).await;
        let (status, answer) = self.ask(Method::POST, &format!("/jobs/{id}/cancel"), None, "").await;
        anyhow::ensure!(
            status == StatusCode::OK || answer["code"] == "job_ended",
            "canceling a job was answered with {status}: {answer}"
        );
        Ok(())
    }

    /// Starts a job; nothing when the cloud refuses it.
    async fn start(&self, number: usize, wish: Wish) -> anyhow::Result<Option<JobId>> {
        let pos_server = &self.pos_servers[wish.store];
        let (_, status) = self.ask(Method::GET, &format!("/pos-servers/{pos_server}"), None, "").await;
        let mut request = json!({
            "kind": wish.kind,
            "when_offline": if wish.queue { "queue" } else { "fail" },
        });
        let confirm = &status["outlet"]["name"];
        let mut generation = None;
        match wish.kind {
            JobKind::ResetDatabase => {
                generation = status["database"]["generation"].as_i64();
                // A store that was never here has no database that anybody could mean.
                if generation.is_none() {
                    return Ok(None);
                }
                request["confirm"] = confirm.clone();
                request["expected_generation"] = json!(generation);
                request["collect_logs"] = json!(false);
                request["discard_unsent"] = json!(true);
            }
            JobKind::RestoreDatabase => {
                let (_, backups) =
                    self.ask(Method::GET, &format!("/pos-servers/{pos_server}/backups"), None, "").await;
                let Some(backup) = backups["items"].as_array().and_then(|items| items.last()) else {
                    return Ok(None);
                };
                request["confirm"] = confirm.clone();
                request["backup_id"] = backup["id"].clone();
            }
            _ => {}
        }
        let key = format!("wish {number}");
        let path = format!("/pos-servers/{pos_server}/jobs");
        let (status, answer) = self.ask(Method::POST, &path, Some(&request), &key).await;
        if status != StatusCode::ACCEPTED {
            // What excludes another job, what may not wait, what is meant for another database.
            anyhow::ensure!(status == StatusCode::CONFLICT, "{request} was answered with {status}: {answer}");
            return Ok(None);
        }
        let id = serde_json::from_value(answer["id"].clone())?;
        let promise = Promise { store: wish.store, generation };
        self.facts.with(|happened| happened.promised.insert(id, promise));
        Ok(Some(id))
    }

    /// Asks one node after the other until there is an answer that is final.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>, key: &str) -> (StatusCode, Value) {
        for turn in 0.. {
            let asking = self.ask_once(turn % self.nodes, method.clone(), path, body, key);
            if let Ok(Ok((status, answer))) = timeout(PATIENCE, asking).await
                && !status.is_server_error()
            {
                return (status, answer);
            }
            sleep(AGAIN).await;
        }
        unreachable!("it is asked until there is an answer")
    }

    async fn ask_once(
        &self,
        node: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: &str,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let stream = TcpStream::connect((format!("{}-{node}", CLOUD.0), CLOUD.1)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::task::spawn_local(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("host", CLOUD.0)
            .header("authorization", format!("Bearer {}", self.access_token));
        if body.is_some() {
            request = request.header("content-type", "application/json").header("idempotency-key", key);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        connection.abort();
        Ok((status, serde_json::from_slice(&body).context("an answer that is no JSON")?))
    }
}
