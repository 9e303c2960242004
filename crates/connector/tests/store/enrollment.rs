//! Enrollment, and what bad input gets.

use axum::Router;
use tillwatch_connector::identity;
use tokio::net::TcpListener;

use crate::cloud::{CODE, Cloud};

async fn refusal(cloud: &str, code: &str) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let error = identity::enroll(cloud, code, None, None, dir.path()).await.unwrap_err().to_string();
    assert!(!dir.path().join("identity/identity.json").exists(), "{error}");
    error
}

#[tokio::test]
async fn a_code_becomes_an_identity_that_only_its_owner_reads() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cloud = Cloud::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("connector.toml"), "# mine").unwrap();

    let identity = identity::enroll(&format!("{}/", cloud.url), CODE, None, None, dir.path()).await.unwrap();

    assert_eq!(identity.outlet, "Riga Centrs");
    assert_eq!(identity::load(dir.path()).unwrap().device_id, identity.device_id);
    assert_eq!(std::fs::read_to_string(dir.path().join("connector.toml")).unwrap(), "# mine");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.path().join("identity/identity.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_wrong_code_gets_what_the_cloud_says() {
    let cloud = Cloud::start().await;
    let error = refusal(&cloud.url, "wrong").await;
    assert!(error.contains("The enrollment code is not valid."), "{error}");
    assert!(refusal(&cloud.url, "  ").await.contains("empty"));
}

#[tokio::test]
async fn an_address_of_no_cloud_is_named_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(|| async { "<html>Welcome to my printer</html>" });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let error = refusal(&url, CODE).await;
    assert!(error.contains("not a Tillwatch cloud"), "{error}");

    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = refusal(&format!("http://{gone}"), CODE).await;
    assert!(error.contains("can't be reached"), "{error}");
}

#[tokio::test]
async fn what_is_no_address_is_refused_before_anything_is_sent() {
    for (address, reason) in [
        ("", "relative URL"),
        ("cloud.example", "relative URL"),
        ("ftp://cloud.example", "https://"),
        ("http://cloud.example", "https://"),
        ("https://user:secret@cloud.example", "password"),
        ("https://cloud.example/?x=1", "query"),
    ] {
        let error = refusal(address, CODE).await;
        assert!(error.contains(reason), "{address}: {error}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_named_and_can_be_given() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certified = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    // Speaks TLS, then passes everything on to a real cloud.
    let cloud = Cloud::start().await;
    let behind = cloud.url.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let mut plain = tokio::net::TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
            });
        }
    });

    let error = refusal(&url, CODE).await;
    assert!(error.contains("not trusted") && error.contains("--ca"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("cloud.pem");
    std::fs::write(&ca, certified.cert.pem()).unwrap();
    identity::enroll(&url, CODE, Some(&ca), None, dir.path()).await.unwrap();
    assert_eq!(identity::ca_file(dir.path()), Some(dir.path().join("identity/ca.pem")));

    std::fs::write(&ca, "no certificate").unwrap();
    let error = identity::enroll(&url, CODE, Some(&ca), None, dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}
