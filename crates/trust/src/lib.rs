//! Whom a store's programs trust on the way to their cloud: the roots of the system, and those of the cloud's own CA if
//! enrollment left any.
//!
//! The own ones are looked at by rustls itself, on every system alike. The verifier of the platform takes further
//! roots as well, but on Windows by a call that older versions and wine do not have.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

/// TLS as a client that trusts the system's roots, and `own`, in which may be none. Fails where the system has no roots
/// and there are none of its own, or one of those is no certificate.
pub fn client_config(own: Vec<CertificateDer<'static>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = Trust {
        own: verifier_of(own, &provider)?,
        system: Verifier::new(provider.clone()),
        provider: provider.clone(),
    };
    if let (None, Err(error)) = (&trust.own, &trust.system) {
        return Err(error.clone());
    }
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    Ok(config)
}

fn verifier_of(
    own: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, Error> {
    if own.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for certificate in own {
        roots.add(certificate)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    verifier.map(Some).map_err(|error| Error::General(error.to_string()))
}

#[derive(Debug)]
struct Trust {
    own: Option<Arc<WebPkiServerVerifier>>,
    /// An error where the system has no roots.
    system: Result<Verifier, Error>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(own) = &self.own {
            let verified = own.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            // What is wrong with a certificate of the own CA is worth more than that the system does not know it.
            if !matches!(verified, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))) {
                return verified;
            }
        }
        match &self.system {
            Ok(system) => {
                system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            Err(_) => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn self_signed(name: &str) -> CertificateDer<'static> {
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.der().clone()
    }

    fn verify(
        own: &[&CertificateDer<'static>],
        shown: &CertificateDer<'static>,
        name: &str,
    ) -> Result<(), Error> {
        let own = own.iter().map(|&certificate| certificate.clone()).collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = Trust {
            own: verifier_of(own, &provider)?,
            system: Verifier::new(provider.clone()),
            provider: provider.clone(),
        };
        let now = UnixTime::since_unix_epoch(Duration::from_hours(500_000));
        trust.verify_server_cert(shown, &[], &name.to_owned().try_into().unwrap(), &[], now).map(drop)
    }

    #[test]
    fn own_certificates_are_trusted_beside_the_systems_and_nobody_elses() {
        let (ours, other) = (self_signed("cloud.example"), self_signed("cloud.example"));
        verify(&[&ours], &ours, "cloud.example").unwrap();
        for own in [&[&other][..], &[]] {
            let error = verify(own, &ours, "cloud.example").unwrap_err();
            assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_own_certificate_is_told() {
        let ours = self_signed("cloud.example");
        let error = verify(&[&ours], &ours, "elsewhere.example").unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(client_config(vec![CertificateDer::from(vec![1, 2, 3])]).is_err());
    }
}
