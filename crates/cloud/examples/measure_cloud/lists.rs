//! Pages of statuses, first and deepest, under every filter and many orders.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::client::{Client, Http, Place};
use crate::links::percentile;

/// Orders by columns of each kind: own and joined texts, times, numbers, versions, derived ones, several.
const SORTS: &[&str] = &[
    "",
    "outlet",
    "-last_report_at",
    "chain,-last_exchange_at",
    "pos_version,name",
    "-highlight,outlet",
    "address",
    "error,-unsent_transactions,crm_id",
];

pub(crate) async fn ask(place: &Place, token: &str, rounds: usize) -> anyhow::Result<Value> {
    let mut http = Client::new(place)?.http(token).await?;
    let page = http.ask("GET", "/pos-servers?limit=1&sort=-outlet", "").await?;
    let chain = page["items"][0]["chain"]["id"].as_str().context("no chain")?.to_owned();
    let outlet = page["items"][0]["outlet"]["id"].as_str().context("no outlet")?.to_owned();
    let filters = [
        String::new(),
        format!("&chain_id={chain}"),
        format!("&outlet_id={outlet}"),
        "&problems_only=true".into(),
        "&reported_within=PT5H".into(),
        format!("&chain_id={chain}&problems_only=true&reported_within=PT5H"),
    ];
    let texts = ["&q=outlet%2077", "&q=no%20such%20text", "&q=unreachable&problems_only=true"];
    let deepest = deepest_pages(&mut http).await?;

    let (mut plain, mut searched) = (Vec::new(), Vec::new());
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (sort, cursor) in SORTS.iter().zip(&deepest) {
            for filter in &filters {
                plain.push(timed(&mut http, &format!("/pos-servers?sort={sort}{filter}")).await?);
            }
            for text in texts {
                searched.push(timed(&mut http, &format!("/pos-servers?sort={sort}{text}")).await?);
            }
            first.push(timed(&mut http, &format!("/pos-servers?sort={sort}")).await?);
            let deep = timed(&mut http, &format!("/pos-servers?sort={sort}&cursor={cursor}")).await?;
            plain.push(deep);
            last.push(deep);
        }
    }
    Ok(json!({
        "p99_seconds": percentile(plain, 99).as_secs_f64(),
        "q_p99_seconds": percentile(searched, 99).as_secs_f64(),
        "first_seconds": percentile(first, 50).as_secs_f64(),
        "deepest_seconds": percentile(last, 50).as_secs_f64(),
    }))
}

async fn timed(http: &mut Http, path: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let (status, body) = http.call("GET", path, "").await?;
    let took = began.elapsed();
    anyhow::ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
    Ok(took)
}

/// For each order, the cursor behind which a page is full and none comes after it.
async fn deepest_pages(http: &mut Http) -> anyhow::Result<Vec<String>> {
    let mut cursors = Vec::with_capacity(SORTS.len());
    for sort in SORTS {
        let mut cursor = String::new();
        loop {
            let page = http.ask("GET", &format!("/pos-servers?limit=1000&sort={sort}{cursor}"), "").await?;
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        // The last thousand rows in steps of a page.
        loop {
            let page = http.ask("GET", &format!("/pos-servers?sort={sort}{cursor}"), "").await?;
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        cursors.push(cursor.strip_prefix("&cursor=").context("all rows fit on a page")?.to_owned());
    }
    Ok(cursors)
}
