//! A window that shows a page of a folder and nothing else: what `npm run bench -- desktop` measures the app beside.
//! `measure_desktop FOLDER PAGE`

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use tauri::http::{Request, Response, StatusCode, header};
use tauri::{WebviewUrl, WebviewWindowBuilder};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), Some(page)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: measure_desktop FOLDER PAGE");
    };
    let folder = PathBuf::from(folder);
    let url = format!("bench://localhost/{}", page.to_string_lossy()).parse()?;
    tauri::Builder::default()
        .register_uri_scheme_protocol("bench", move |_, request| serve(&folder, &request))
        .setup(move |app| {
            WebviewWindowBuilder::new(app, "main", WebviewUrl::CustomProtocol(url))
                .title("Tillwatch")
                .inner_size(1280.0, 800.0)
                .build()?;
            Ok(())
        })
        .run(tauri::generate_context!())?;
    Ok(())
}

fn serve(folder: &Path, request: &Request<Vec<u8>>) -> Response<Cow<'static, [u8]>> {
    let path = Path::new(request.uri().path().trim_start_matches('/'));
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    let content = if is_inside { std::fs::read(folder.join(path)).ok() } else { None };
    let (status, body) = match content {
        Some(content) => (StatusCode::OK, content),
        None => (StatusCode::NOT_FOUND, Vec::new()),
    };
    let mut response = Response::new(Cow::Owned(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
