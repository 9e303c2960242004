//! The certificate by which the cloud is known: the operator's, or one it makes itself.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{CipherSuite, ServerConfig};

use crate::config::{Config, Tls, host_name};
use crate::store::make_private_dir;

/// What accepts TLS connections; none when the configuration is without TLS.
pub(crate) fn acceptor(config: &Config) -> anyhow::Result<Option<TlsAcceptor>> {
    let (cert, key) = match &config.tls {
        Tls::Insecure => return Ok(None),
        Tls::Files { cert, key } => (cert.clone(), key.clone()),
        Tls::SelfSigned => {
            let dir = config.data_dir.join("tls");
            let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
            if !(cert.exists() && key.exists()) {
                make_self_signed(&dir, &cert, &key).context("making a self-signed certificate")?;
            }
            (cert, key)
        }
    };
    let certs = CertificateDer::pem_file_iter(&cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading the certificate {}", cert.display()))?;
    let key =
        PrivateKeyDer::from_pem_file(&key).with_context(|| format!("reading the key {}", key.display()))?;
    let mut provider = rustls::crypto::ring::default_provider();
    // Its hash runs in hardware nearly everywhere, which that of the suites with SHA-384 does not.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut tls = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .context("the certificate and the key don't fit together")?;
    tls.ignore_client_order = true;
    // Whoever comes back shows the ticket that it was given, and nothing is kept for it here.
    tls.ticketer = rustls::crypto::ring::Ticketer::new()?;
    tls.send_tls13_tickets = 1;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

/// Makes an ECDSA P-256 certificate for this machine's names. Stores are given it as their CA.
fn make_self_signed(dir: &Path, cert: &Path, key: &Path) -> anyhow::Result<()> {
    let host = host_name();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tillwatch cloud");
    params.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    if host != "localhost"
        && let Ok(host) = host.as_str().try_into()
    {
        params.subject_alt_names.push(SanType::DnsName(host));
    }
    let now = std::time::SystemTime::now();
    // A store's clock may be a little behind.
    params.not_before = (now - std::time::Duration::from_hours(24)).into();
    params.not_after = (now + std::time::Duration::from_hours(10 * 365 * 24)).into();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let signed = params.self_signed(&pair)?;
    make_private_dir(dir)?;
    write_new(key, pair.serialize_pem().as_bytes(), true)?;
    write_new(cert, signed.pem().as_bytes(), false)?;
    Ok(())
}

/// Writes a file whole or not at all.
fn write_new(path: &Path, content: &[u8], secret: bool) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = secret;
    let mut file = options.open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(())
}
