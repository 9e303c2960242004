//! Which certificates are good: those the system trusts, or exactly the one that the user pinned.

use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use crate::core::lock;
use crate::error::{AppError, LocalCode};

/// The certificate that was refused last.
pub(super) type Refused = Arc<Mutex<Option<Refusal>>>;

/// A certificate that was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Its fingerprint.
    pub(super) sha256: String,
    /// Whether that is for its dates: by this computer's clock it is not valid yet, or no longer.
    pub(super) by_date: bool,
}

/// A configuration that trusts what `pin` says, and puts what it refuses into `refused`.
pub(super) fn config(pin: Option<String>, refused: Refused) -> Result<ClientConfig, AppError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: rustls::Error| AppError::from(LocalCode::TlsFailed).detail(error);
    let trust = match pin {
        Some(pin) => Trust::Pinned(pin),
        None => Trust::System(Box::new(
            rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(failed)?,
        )),
    };
    let verifier = Verifier { trust, provider: Arc::clone(&provider), refused };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// Reads a fingerprint as people copy it: hexadecimal, with or without colons.
pub(crate) fn fingerprint(text: &str) -> Option<String> {
    let digits: String =
        text.chars().filter(|c| !matches!(c, ':' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
    (digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(digits)
}

#[derive(Debug)]
enum Trust {
    System(Box<rustls_platform_verifier::Verifier>),
    Pinned(String),
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    refused: Refused,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let sha256 = hex(&Sha256::digest(end_entity));
        let verified = match &self.trust {
            Trust::System(system) => {
                system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            // The user compared this very certificate, so that neither its names nor its dates say more.
            Trust::Pinned(pin) if *pin == sha256 => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(_) => {
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        };
        if let Err(error) = &verified {
            *lock(&self.refused) = Some(Refusal { sha256, by_date: is_by_date(error) });
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_by_date(error: &rustls::Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let rustls::Error::InvalidCertificate(why) = error else { return false };
    matches!(why, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_copied() {
        let plain = "ab".repeat(32);
        let with_colons = vec!["AB"; 32].join(":");
        assert_eq!(fingerprint(&with_colons).as_deref(), Some(plain.as_str()));
        assert_eq!(fingerprint(&plain).as_deref(), Some(plain.as_str()));
        for text in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert_eq!(fingerprint(text), None, "{text}");
        }
    }
}
