//! How a command on the server's machine knows its server: by the certificate in the server's own file.
//!
//! That certificate is for the name that clients use, not for `localhost`, and its authority may be unknown here. The very same
//! certificate proves more than both, also after its expiry.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::{TlsError, TlsSnapshot, provider};
use crate::config::{HttpTls, Tls};

/// The TLS configuration of a client of the server that has these files. `ours`: the certificate that the client shows, if the
/// server asks for one; without it, the client shows the server's. Blocks.
pub fn client_of_own(server: &HttpTls, ours: &Tls) -> Result<ClientConfig, TlsError> {
    let snapshot = TlsSnapshot::read("http.tls", &server.files());
    let refused = |error: Error| snapshot.refused(error.to_string());
    let own = snapshot.identity()?.ok_or_else(|| refused(Error::NoCertificatesPresented))?;
    let shown = TlsSnapshot::read("replica.tls", ours).identity()?;
    let provider = provider();
    let expected = own.chain[0].clone();
    let (chain, key) = shown.map_or((own.chain, own.key), |shown| (shown.chain, shown.key));
    ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OwnCertificate { expected, provider }))
        .with_client_auth_cert(chain, key)
        .map_err(refused)
}

/// Accepts one certificate.
#[derive(Debug)]
struct OwnCertificate {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OwnCertificate {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
