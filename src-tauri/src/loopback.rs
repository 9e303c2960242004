//! What the system's browser comes back to when one signs in by a provider: a listener on a free port of this
//! computer, for one answer (RFC 8252, 7.3).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::ipc::SsoWords;

/// The path of the redirect, which providers are told of.
const PATH: &str = "/callback";
/// The longest request that is read.
const MAX_REQUEST_BYTES: usize = 32 * 1024;
/// How long a connection may take to ask.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// A listener that waits for the browser.
#[derive(Debug)]
pub(crate) struct Loopback {
    listener: TcpListener,
    redirect_uri: Url,
}

/// What the browser brought, with the page it waits for.
#[derive(Debug)]
pub(crate) struct Brought {
    /// What the provider gave.
    pub(crate) code: Option<String>,
    /// Why it gave nothing.
    pub(crate) error: Option<String>,
    /// Which provider it is, when it says so.
    pub(crate) iss: Option<String>,
    browser: TcpStream,
}

impl Loopback {
    /// Listens on a free port.
    pub(crate) async fn listen() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("http://{}{PATH}", listener.local_addr()?);
        let redirect_uri = Url::parse(&address).map_err(std::io::Error::other)?;
        Ok(Self { listener, redirect_uri })
    }

    /// Where the browser has to come back to.
    pub(crate) fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    /// Waits for the answer to the try that `state` names. Whatever else comes to the port is turned away.
    pub(crate) async fn answer(&self, state: &str) -> std::io::Result<Brought> {
        // Connections are served side by side: browsers open some that they never use.
        let (found, mut brought) = tokio::sync::mpsc::channel(1);
        let mut serving = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (browser, _) = accepted?;
                    let (found, base, state) = (found.clone(), self.redirect_uri.clone(), state.to_owned());
                    serving.spawn(async move {
                        if let Some(brought) = serve(browser, &base, &state).await {
                            let _ = found.send(brought).await;
                        }
                    });
                }
                Some(brought) = brought.recv() => return Ok(brought),
                Some(_) = serving.join_next() => {}
            }
        }
    }
}

impl Brought {
    /// Shows the browser's user how it ended, in the window's language.
    pub(crate) async fn tell(mut self, words: &SsoWords, done: bool) {
        let sentence = if done { &words.done } else { &words.failed };
        respond(&mut self.browser, "200 OK", &page(&words.language, sentence)).await;
    }
}

/// Reads one request. What is not the awaited answer gets a short refusal and is none.
async fn serve(mut browser: TcpStream, base: &Url, state: &str) -> Option<Brought> {
    let target = tokio::time::timeout(REQUEST_PATIENCE, read_target(&mut browser)).await.ok()??;
    let url = base.join(&target).ok()?;
    let value =
        |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if url.origin() != base.origin() || url.path() != PATH {
        respond(&mut browser, "404 Not Found", "").await;
        return None;
    }
    if value("state").as_deref() != Some(state) {
        respond(&mut browser, "400 Bad Request", "").await;
        return None;
    }
    Some(Brought { code: value("code"), error: value("error"), iss: value("iss"), browser })
}

/// The target of a GET request; none for anything else.
async fn read_target(browser: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&read) {
            Ok(httparse::Status::Complete(_)) if request.method == Some("GET") => {
                return request.path.map(ToOwned::to_owned);
            }
            Ok(httparse::Status::Partial) if read.len() < MAX_REQUEST_BYTES => {}
            _ => return None,
        }
        if browser.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

async fn respond(browser: &mut TcpStream, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // The browser may be gone: the app itself says how it ended.
    let _ = browser.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = browser.shutdown().await;
}

/// A page of one sentence, and nothing that needs the network.
fn page(language: &str, sentence: &str) -> String {
    let language: String = language.chars().filter(char::is_ascii_alphabetic).collect();
    let sentence = escape(sentence);
    format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\"><title>Tillwatch</title>\
         <meta name=\"color-scheme\" content=\"light dark\"><style>body{{display:grid;place-items:center;\
         min-height:90vh;margin:2rem;font:1.25rem/1.5 system-ui,sans-serif;text-align:center}}</style></head>\
         <body><main><h1>Tillwatch</h1><p>{sentence}</p></main></body></html>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> SsoWords {
        SsoWords {
            language: "en".into(),
            done: "You may close <this>.".into(),
            failed: "Look at Tillwatch.".into(),
        }
    }

    async fn ask(listening: &Loopback, request: &str) -> String {
        let mut socket = TcpStream::connect(listening.listener.local_addr().unwrap()).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn only_the_awaited_answer_is_taken() {
        let listening = Loopback::listen().await.unwrap();
        assert!(listening.redirect_uri().as_str().starts_with("http://127.0.0.1:"));
        let idle = TcpStream::connect(listening.listener.local_addr().unwrap()).await.unwrap();
        let browser = async {
            let get = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
            for (request, status) in [
                (get("/favicon.ico"), "HTTP/1.1 404"),
                (get("//elsewhere/callback?state=mine&code=x"), "HTTP/1.1 404"),
                (get("/callback?code=x"), "HTTP/1.1 400"),
                (get("/callback?state=yours&code=x"), "HTTP/1.1 400"),
                ("POST /callback?state=mine&code=x HTTP/1.1\r\n\r\n".into(), ""),
                ("\u{0}noise\r\n\r\n".into(), ""),
                (get(&format!("/{}", "a".repeat(2 * MAX_REQUEST_BYTES))), ""),
            ] {
                let answer = ask(&listening, &request).await;
                assert!(answer.starts_with(status), "{request:.60}: {answer:.60}");
            }
            ask(&listening, &get("/callback?code=a%20b&state=mine&iss=https%3A%2F%2Fid.example")).await
        };
        let app = async {
            let brought = listening.answer("mine").await.unwrap();
            assert_eq!(
                (brought.code.as_deref(), brought.error.as_deref(), brought.iss.as_deref()),
                (Some("a b"), None, Some("https://id.example"))
            );
            brought.tell(&words(), true).await;
        };
        let (page, ()) = tokio::join!(browser, app);
        assert!(page.contains("You may close &lt;this&gt;."), "{page}");
        for header in ["frame-ancestors 'none'", "x-content-type-options: nosniff", "cache-control: no-store"]
        {
            assert!(page.contains(header), "{page}");
        }
        drop(idle);
    }
}
