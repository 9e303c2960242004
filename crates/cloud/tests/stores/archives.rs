//! Archives: how they come in, and how they go out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{ConnectorFrame, JobFinished};
use tillwatch_protocol::rest::job::JobState;
use tillwatch_protocol::rest::session::Permission;

use crate::cluster::Node;
use crate::support::{ADMIN, Answer, Client, Cloud, Line, TestStore, answer, hasty};

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Bytes that differ from place to place, after the first ones of a zip.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    b"PK\x03\x04".iter().copied().chain(std::iter::repeat_with(&mut next)).take(length).collect()
}

pub(crate) async fn create(
    store: &TestStore,
    job: JobId,
    length: usize,
    sha256: &str,
    part: (u32, u32),
) -> Answer {
    let encode = |text: &str| STANDARD.encode(text);
    let metadata = [
        ("job_id", job.to_string()),
        ("sha256", sha256.to_owned()),
        ("from", "2026-11-20T05:00:00Z".to_owned()),
        ("to", "2026-11-20T10:00:00Z".to_owned()),
        ("part", part.0.to_string()),
        ("parts", part.1.to_string()),
    ]
    .map(|(key, value)| format!("{key} {}", encode(&value)))
    .join(",");
    answer(
        store
            .request(Method::POST, "/uploads")
            .header("tus-resumable", "1.0.0")
            .header("upload-length", length.to_string())
            .header("upload-metadata", metadata),
    )
    .await
}

pub(crate) async fn append(
    store: &TestStore,
    location: &str,
    offset: usize,
    piece: &[u8],
    sum: &[u8],
) -> Answer {
    answer(
        store
            .request(Method::PATCH, location)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset.to_string())
            .header("upload-checksum", format!("sha256 {}", STANDARD.encode(Sha256::digest(sum))))
            .body(piece.to_vec()),
    )
    .await
}

pub(crate) async fn head(store: &TestStore, location: &str) -> Answer {
    answer(store.request(Method::HEAD, location).header("tus-resumable", "1.0.0")).await
}

/// A store that collects logs.
pub(crate) async fn collecting(cloud: &Cloud, max_bytes: usize) -> (Client, TestStore, Line, JobId) {
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Kafejnīca \\\"Pie Ann<as>\\\"".replace("\\\"", "'").as_str()).await;
    let mut line = store.connect().await;
    let body = json!({"kind": "retrieve_logs", "from": "2026-11-20T05:00:00Z", "to": "2026-11-20T10:00:00Z",
        "max_bytes": max_bytes});
    let job = admin.started(&store, &body).await;
    line.job().await;
    line.say(&ConnectorFrame::JobAccepted { id: job }).await;
    admin.when_job(job, "in_progress").await;
    (admin, store, line, job)
}

/// Uploads a whole archive in pieces; gives its id.
async fn upload(store: &TestStore, job: JobId, content: &[u8], part: (u32, u32)) -> String {
    upload_by(100_000, store, job, content, part).await
}

/// The same, in pieces of this size.
async fn upload_by(piece: usize, store: &TestStore, job: JobId, content: &[u8], part: (u32, u32)) -> String {
    let created = create(store, job, content.len(), &hex(content), part).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let location = created.header("location").to_owned();
    let mut offset = 0;
    for piece in content.chunks(piece) {
        let taken = append(store, &location, offset, piece, piece).await;
        offset += piece.len();
        assert_eq!(
            (taken.status.as_u16(), taken.header("upload-offset")),
            (204, offset.to_string().as_str())
        );
    }
    location.rsplit('/').next().unwrap().to_owned()
}

async fn succeeded(admin: &Client, line: &mut Line, job: JobId, archives: &[&str]) -> Value {
    let result = json!({"archive_ids": archives, "truncated": true, "files": 3, "redactions": 5});
    let frame = JobFinished { id: job, state: JobState::Succeeded, result: Some(result), error: None };
    line.say(&ConnectorFrame::JobFinished(frame)).await;
    admin.when_job(job, "succeeded").await
}

#[tokio::test]
async fn archives_are_uploaded_and_belong_to_the_jobs_result() {
    let cloud = Cloud::start().await;
    let (admin, store, mut line, job) = collecting(&cloud, 1 << 20).await;
    let (first, second) = (noise(250_000), noise(70_000));
    let one = upload(&store, job, &first, (1, 2)).await;
    let two = upload(&store, job, &second, (2, 2)).await;

    let result = &succeeded(&admin, &mut line, job, &[&one, &two]).await["result"];
    assert_eq!(result["truncated"], true);
    assert_eq!(result["files"], 3);
    assert_eq!(result["redactions"], 5);
    assert!(result.get("archive_ids").is_none());
    let archives = result["archives"].as_array().unwrap();
    assert_eq!(archives.len(), 2);
    assert_eq!(archives[0]["id"], one);
    assert_eq!(archives[0]["size_bytes"], 250_000);
    assert_eq!(archives[0]["sha256"], hex(&first));
    assert_eq!(archives[0]["from"], "2026-11-20T05:00:00Z");
    let name = "Kafejnīca 'Pie Ann_as_' logs 2026-11-20T050000Z to 2026-11-20T100000Z part 2 of 2.zip";
    assert_eq!(archives[1]["file_name"], name);

    let whole = admin.get(&format!("/archives/{two}/content")).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.bytes, second);
    assert_eq!(whole.header("content-type"), "application/zip");
    assert_eq!(whole.header("etag"), format!("\"{}\"", hex(&second)));
    assert!(whole.header("content-disposition").contains("filename*=UTF-8''Kafejn%C4%ABca%20%27Pie"));
}

#[tokio::test]
async fn a_download_goes_on_where_it_stopped() {
    let cloud = Cloud::start().await;
    let (admin, store, _line, job) = collecting(&cloud, 1 << 20).await;
    let content = noise(250_000);
    let id = upload(&store, job, &content, (1, 1)).await;
    let path = format!("/archives/{id}/content");
    let etag = format!("\"{}\"", hex(&content));
    let ask = |headers: &[(&str, &str)]| {
        let request = admin.request(Method::GET, &path);
        answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
    };

    for (range, expected) in [
        ("bytes=0-9", &content[0..10]),
        ("bytes=99990-100009", &content[99_990..100_010]),
        ("bytes=249999-", &content[249_999..]),
        ("bytes=-5", &content[249_995..]),
        ("bytes=1-9999999", &content[1..]),
    ] {
        let part = ask(&[("range", range), ("if-range", &etag)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.bytes, expected, "{range}");
        assert!(part.header("content-range").ends_with("/250000"), "{range}");
    }
    let first = ask(&[("range", "bytes=0-9")]).await;
    assert_eq!(first.header("content-range"), "bytes 0-9/250000");
    assert_eq!(first.header("cache-control"), "no-store");
    assert_eq!(ask(&[("range", "bytes=0-9"), ("if-range", "\"other\"")]).await.status, 200);
    assert_eq!(ask(&[("if-none-match", &etag)]).await.status, 304);
    let beyond = ask(&[("range", "bytes=250000-")]).await;
    assert_eq!(beyond.problem(), (416, "range_not_satisfiable"));
    assert_eq!(beyond.header("content-range"), "bytes */250000");
}

#[tokio::test]
async fn only_who_may_retrieve_logs_gets_them() {
    let cloud = Cloud::start().await;
    let (_, store, _line, job) = collecting(&cloud, 1 << 20).await;
    let id = upload(&store, job, &noise(1000), (1, 1)).await;
    let path = format!("/archives/{id}/content");
    let outlet = "Kafejnīca 'Pie Ann<as>'";
    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;
    assert_eq!(anna.get(&path).await.problem(), (404, "not_found"));
    cloud.grant("anna@example.com", outlet, Permission::OutletSetup).await;
    assert_eq!(anna.get(&path).await.problem(), (403, "permission_denied"));
    cloud.grant("anna@example.com", outlet, Permission::RetrieveLogs).await;
    assert_eq!(anna.get(&path).await.status, 200);
    let unknown = format!("/archives/{job}/content");
    assert_eq!(anna.get(&unknown).await.problem(), (404, "not_found"));
}

#[tokio::test]
async fn a_download_ends_with_the_grant_or_the_session_that_it_began_with() {
    let cloud = Cloud::start().await;
    // More than what is on its way between the cloud and a client that does not read.
    let content = noise(32 << 20);
    let (admin, store, _line, job) = collecting(&cloud, 64 << 20).await;
    let id = upload_by(8 << 20, &store, job, &content, (1, 1)).await;
    let path = format!("/archives/{id}/content");
    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;
    let user = anna.get("/me").await.body["user"]["id"].as_str().unwrap().to_owned();

    let outlet = "Kafejnīca 'Pie Ann<as>'";
    cloud.grant("anna@example.com", outlet, Permission::OutletSetup).await;

    for (ends, expected) in [("grant", (403, "permission_denied")), ("session", (401, "unauthorized"))] {
        cloud.grant("anna@example.com", outlet, Permission::RetrieveLogs).await;
        let mut response = anna.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut taken = response.chunk().await.unwrap().unwrap().len();
        if ends == "grant" {
            let grants = format!("/admin/grants?user_id={user}&permission=retrieve_logs");
            let grants = admin.get(&grants).await.body;
            let grant = grants["items"][0]["id"].as_str().unwrap();
            let removed = admin.send(Method::DELETE, &format!("/admin/grants/{grant}"), &json!({})).await;
            assert_eq!(removed.status, 204);
        } else {
            assert_eq!(anna.send(Method::DELETE, "/sessions/current", &json!({})).await.status, 204);
        }
        let broken = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => taken += chunk.len(),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken && taken < content.len(), "{taken} bytes after the end of the {ends}");
        let rest = answer(anna.request(Method::GET, &path).header("range", format!("bytes={taken}-")));
        assert_eq!(rest.await.problem(), expected);
    }
}

#[tokio::test]
async fn an_archive_is_gone_after_its_time() {
    let cloud = Cloud::start().await;
    let (admin, store, _line, job) = collecting(&cloud, 1 << 20).await;
    let id = upload(&store, job, &noise(250_000), (1, 1)).await;
    let files = || walk(&cloud.backends.archives());
    assert_eq!(files(), 3);
    cloud.sql("UPDATE archives SET expires_at = '2020-01-01T00:00:00+00:00'").await;
    let expired = admin.get(&format!("/archives/{id}/content")).await;
    assert_eq!(expired.problem(), (410, "archive_expired"));
    let deleted = async {
        while files() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::SOON, deleted).await.unwrap();
    let expired = admin.get(&format!("/archives/{id}/content")).await;
    assert_eq!(expired.problem(), (410, "archive_expired"));
}

#[tokio::test]
async fn what_a_removed_pos_server_sent_is_deleted() {
    let cloud = Cloud::start().await;
    let (admin, store, mut line, job) = collecting(&cloud, 1 << 20).await;
    let id = upload(&store, job, &noise(3000), (1, 2)).await;
    let half = create(&store, job, 3000, &hex(b"the rest"), (2, 2)).await;
    let location = half.header("location").to_owned();
    assert_eq!(append(&store, &location, 0, b"half", b"half").await.status, 204);
    let files = || walk(&cloud.backends.archives());
    assert!(files() > 1);

    let path = format!("/admin/pos-servers/{}", store.identity.pos_server_id);
    assert_eq!(admin.send(Method::DELETE, &path, &json!({})).await.status, 204);

    line.closed().await;
    assert_eq!(admin.get(&format!("/archives/{id}/content")).await.problem(), (404, "not_found"));
    assert_eq!(append(&store, &location, 4, b"more", b"more").await.problem(), (401, "credentials_revoked"));
    let deleted = async {
        while files() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::SOON, deleted).await.unwrap();
}

pub(crate) fn walk(dir: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn a_damaged_piece_is_sent_again_and_a_lost_answer_is_made_good() {
    let cloud = Cloud::start().await;
    let (admin, store, _line, job) = collecting(&cloud, 1 << 20).await;
    let content = noise(3000);
    let created = create(&store, job, content.len(), &hex(&content), (1, 1)).await;
    let location = created.header("location").to_owned();

    let damaged = append(&store, &location, 0, &content[..1000], &content[..999]).await;
    assert_eq!(damaged.problem(), (460, "upload_checksum_mismatch"));
    assert_eq!(head(&store, &location).await.header("upload-offset"), "0");
    assert_eq!(append(&store, &location, 0, &content[..1000], &content[..1000]).await.status, 204);
    // The answer was lost, so the store sends the piece again.
    let again = append(&store, &location, 0, &content[..1000], &content[..1000]).await;
    assert_eq!(again.problem(), (409, "upload_offset_mismatch"));
    let place = head(&store, &location).await;
    assert_eq!((place.header("upload-offset"), place.header("upload-length")), ("1000", "3000"));
    assert_eq!(append(&store, &location, 1000, &content[1000..], &content[1000..]).await.status, 204);

    let id = location.rsplit('/').next().unwrap();
    assert_eq!(admin.get(&format!("/archives/{id}/content")).await.bytes, content);
    assert_eq!(append(&store, &location, 3000, b"x", b"x").await.problem(), (409, "upload_offset_mismatch"));
}

#[tokio::test]
async fn an_upload_goes_on_after_the_cloud_restarted() {
    let cloud = Cloud::start().await;
    let (_, store, _line, job) = collecting(&cloud, 1 << 20).await;
    let content = noise(3000);
    let created = create(&store, job, content.len(), &hex(&content), (1, 1)).await;
    let location = created.header("location").to_owned();
    append(&store, &location, 0, &content[..1000], &content[..1000]).await;

    let cloud = cloud.restart(hasty()).await;
    let store = store.moved(&cloud);
    assert_eq!(head(&store, &location).await.header("upload-offset"), "1000");
    assert_eq!(append(&store, &location, 1000, &content[1000..], &content[1000..]).await.status, 204);
    let id = location.rsplit('/').next().unwrap();
    assert_eq!(cloud.admin().await.get(&format!("/archives/{id}/content")).await.bytes, content);
}

#[tokio::test]
async fn an_upload_begun_on_one_node_ends_on_another() {
    let cloud = Cloud::start().await;
    let other = Node::beside(&cloud, hasty(), None).await;
    let (admin, store, mut line, job) = collecting(&cloud, 1 << 20).await;
    let content = noise(1000);
    let answer = create(&store, job, content.len(), &hex(&content), (1, 1)).await;
    let location = answer.header("location").to_owned();
    let (first, second) = content.split_at(400);
    assert_eq!(append(&store, &location, 0, first, first).await.status, 204);
    let there = store.at(&other.base);
    assert_eq!(head(&there, &location).await.header("upload-offset"), "400");
    assert_eq!(append(&there, &location, 400, second, second).await.status, 204);
    let id = location.rsplit('/').next().unwrap();
    succeeded(&admin, &mut line, job, &[id]).await;
    for client in [admin, other.sign_in(ADMIN).await] {
        assert_eq!(client.get(&format!("/archives/{id}/content")).await.bytes, content);
    }
}

#[tokio::test]
async fn a_whole_that_is_not_what_was_announced_is_thrown_away() {
    let cloud = Cloud::start().await;
    let (admin, store, _line, job) = collecting(&cloud, 65_536).await;
    let content = noise(60_000);
    let created = create(&store, job, content.len(), &hex(b"something else"), (1, 1)).await;
    let location = created.header("location").to_owned();
    assert_eq!(append(&store, &location, 0, &content[..10], &content[..10]).await.status, 204);
    let wrong = append(&store, &location, 10, &content[10..], &content[10..]).await;
    assert_eq!(wrong.problem(), (460, "upload_checksum_mismatch"));
    assert_eq!(head(&store, &location).await.status, 404);
    let id = location.rsplit('/').next().unwrap();
    assert_eq!(admin.get(&format!("/archives/{id}/content")).await.problem(), (404, "not_found"));
    assert_eq!(walk(&cloud.backends.archives()), 0);
    // There is room for another try.
    upload(&store, job, &content, (1, 1)).await;
}

#[tokio::test]
async fn what_is_no_zip_is_thrown_away() {
    let cloud = Cloud::start().await;
    let (admin, store, _line, job) = collecting(&cloud, 65_536).await;
    let program = [&b"MZ"[..], &noise(1000)].concat();
    let created = create(&store, job, program.len(), &hex(&program), (1, 1)).await;
    let location = created.header("location").to_owned();
    assert_eq!(append(&store, &location, 0, &program[..1], &program[..1]).await.status, 204);
    let refused = append(&store, &location, 1, &program[1..], &program[1..]).await;
    assert_eq!(refused.problem(), (415, "unsupported_media_type"));
    assert_eq!(head(&store, &location).await.status, 404);
    let id = location.rsplit('/').next().unwrap();
    assert_eq!(admin.get(&format!("/archives/{id}/content")).await.problem(), (404, "not_found"));
    assert_eq!(walk(&cloud.backends.archives()), 0);
    upload(&store, job, &noise(1000), (1, 1)).await;
}

#[tokio::test]
async fn uploads_belong_to_their_job_and_keep_to_its_size() {
    let cloud = Cloud::start().await;
    let (admin, store, mut line, job) = collecting(&cloud, 100_000).await;
    let other = cloud.enrolled("Other").await;
    let sum = hex(b"");

    assert_eq!(create(&other, job, 10, &sum, (1, 1)).await.problem(), (404, "not_found"));
    assert_eq!(create(&store, JobId::new(), 10, &sum, (1, 1)).await.problem(), (404, "not_found"));
    let too_large = create(&store, job, 100_001, &sum, (1, 1)).await;
    assert_eq!(too_large.problem(), (413, "payload_too_large"));
    let created = create(&store, job, 60_000, &sum, (1, 2)).await;
    assert_eq!(create(&store, job, 40_001, &sum, (2, 2)).await.problem(), (413, "payload_too_large"));
    let location = created.header("location").to_owned();
    assert_eq!(head(&other, &location).await.status, 404);
    assert_eq!(append(&other, &location, 0, b"x", b"x").await.problem(), (404, "not_found"));
    let long = noise(60_001);
    assert_eq!(append(&store, &location, 0, &long, &long).await.problem(), (413, "payload_too_large"));

    // A job that makes no archives takes none, and one that has ended neither.
    let diagnose = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(create(&store, diagnose, 10, &sum, (1, 1)).await.problem(), (404, "not_found"));
    line.job().await;
    succeeded(&admin, &mut line, job, &[]).await;
    assert_eq!(create(&store, job, 10, &sum, (1, 1)).await.problem(), (409, "job_ended"));
}

#[tokio::test]
async fn uploads_speak_tus() {
    let cloud = Cloud::start().await;
    let (_, store, _line, job) = collecting(&cloud, 1 << 20).await;
    let options = answer(store.request(Method::OPTIONS, "/uploads")).await;
    assert_eq!(options.status, 204);
    assert_eq!(options.header("tus-extension"), "creation,checksum");
    assert_eq!(options.header("tus-version"), "1.0.0");
    let old = answer(store.request(Method::POST, "/uploads").header("tus-resumable", "0.2.2")).await;
    assert_eq!(old.problem(), (412, "upload_version_unsupported"));
    for (length, sum, part) in [(0, hex(b""), (1, 1)), (1, "x".into(), (1, 1)), (1, hex(b""), (2, 1))] {
        assert_eq!(create(&store, job, length, &sum, part).await.problem(), (422, "invalid_request"));
    }
    let created = create(&store, job, 10, &hex(b""), (1, 1)).await;
    assert_eq!(created.header("tus-resumable"), "1.0.0");
    let request = store.request(Method::PATCH, created.header("location")).header("tus-resumable", "1.0.0");
    assert_eq!(answer(request.body("x")).await.problem(), (415, "unsupported_media_type"));
    let nobody = reqwest::Client::new().post(format!("{}/api/v1/uploads", cloud.base));
    assert_eq!(answer(nobody).await.problem(), (401, "unauthorized"));
}
