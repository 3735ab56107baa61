//! The HTTPS configuration, which can be replaced in the running server.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};

use super::{NotAfter, TlsError, TlsFiles, TlsFilesUser, TlsSnapshot, provider};
use crate::config::{ClientAuth, HttpTls};
use crate::metrics::Metrics;

/// Certificate, key and client authorities of the HTTPS server.
#[derive(Debug)]
pub struct ServerTls {
    current: Arc<Current>,
    files: Arc<TlsFiles>,
}

impl ServerTls {
    /// Loads what the settings of a section, such as `http.tls`, name. Blocks.
    pub fn load(section: &'static str, settings: &HttpTls, metrics: Arc<Metrics>) -> Result<Self, TlsError> {
        let paths = settings.files();
        let snapshot = TlsSnapshot::read(section, &paths);
        let client_auth = settings.client_auth();
        let (state, not_after) = ServerTlsState::of(&snapshot, client_auth)?;
        let current = Arc::new(Current { client_auth: Mutex::new(client_auth), state: ArcSwap::from_pointee(state) });
        let files = TlsFiles::new(section, paths, &snapshot, not_after.as_ref(), current.clone(), metrics);
        Ok(Self { current, files })
    }

    /// The configuration for accepting connections. It refers to the parts that can change.
    pub fn config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_client_cert_verifier(self.current.clone())
            .with_cert_resolver(self.current.clone());
        // Sessions are resumed by tickets, so what this server remembers of them does not grow with its clients, and is
        // forgotten with the files.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = self.current.clone();
        // HTTP/2 would let a single client take memory without a bound that the framework could set.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The files, to be watched.
    pub const fn files(&self) -> &Arc<TlsFiles> {
        &self.files
    }

    /// Loads by other settings, or by the same ones again. What is broken is logged and changes nothing. Blocks.
    pub fn reload(&self, settings: &HttpTls) {
        *self.current.client_auth.lock() = settings.client_auth();
        self.files.reload(settings.files());
    }
}

/// The parts for the next handshake.
#[derive(Debug)]
struct Current {
    client_auth: Mutex<ClientAuth>,
    state: ArcSwap<ServerTlsState>,
}

/// The product of the files. A handshake during a replacement may see both the old and the new one: then it fails, or
/// is valid under one of them.
struct ServerTlsState {
    certificate: Arc<CertifiedKey>,
    /// `None`: clients are not asked for certificates.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// The names of the client authorities.
    hints: &'static [DistinguishedName],
    /// New tickets with every replacement. A ticket proves that its client had a good certificate, whose issuer may no
    /// longer be trusted.
    tickets: Arc<dyn ProducesTickets>,
}

impl ServerTlsState {
    fn of(snapshot: &TlsSnapshot, client_auth: ClientAuth) -> Result<(Self, Option<NotAfter>), TlsError> {
        let refused = |error: &dyn fmt::Display| snapshot.refused(error.to_string());
        // The settings have a certificate and a key, or there is no HTTPS.
        let identity = snapshot.identity()?.ok_or_else(|| refused(&"certificate and key are needed"))?;
        let clients = if client_auth == ClientAuth::Off {
            None
        } else {
            let mut roots = RootCertStore::empty();
            for root in snapshot.roots()? {
                roots.add(root).map_err(|error| refused(&error))?;
            }
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let optional = client_auth == ClientAuth::Optional;
            let builder = if optional { builder.allow_unauthenticated() } else { builder };
            Some(builder.build().map_err(|error| refused(&error))?)
        };
        let state = Self {
            certificate: Arc::new(identity.certified),
            hints: clients.as_ref().map_or(&[], |clients| for_ever(clients.root_hint_subjects())),
            clients,
            tickets: Ticketer::new().map_err(|error| refused(&error))?,
        };
        Ok((state, identity.not_after))
    }

    /// The verifier of client certificates. A client may present one that was requested just before the setting
    /// changed.
    fn clients(&self) -> Result<&dyn ClientCertVerifier, rustls::Error> {
        let nobody = || rustls::Error::General("the server no longer asks for client certificates".to_owned());
        self.clients.as_deref().ok_or_else(nobody)
    }
}

impl TlsFilesUser for Current {
    fn apply(&self, snapshot: &TlsSnapshot) -> Result<Option<NotAfter>, TlsError> {
        let client_auth = *self.client_auth.lock();
        let (state, not_after) = ServerTlsState::of(snapshot, client_auth)?;
        self.state.store(Arc::new(state));
        Ok(not_after)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.state.load().certificate.clone())
    }
}

impl ProducesTickets for Current {
    fn enabled(&self) -> bool {
        self.state.load().tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.state.load().tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.state.load().tickets.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.state.load().tickets.decrypt(cipher)
    }
}

impl ClientCertVerifier for Current {
    fn offer_client_auth(&self) -> bool {
        self.state.load().clients.is_some()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.state.load().clients.as_ref().is_some_and(|clients| clients.client_auth_mandatory())
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.state.load().hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let result = self.state.load().clients()?.verify_client_cert(end_entity, intermediates, now);
        if let Err(error) = &result {
            // Anybody can cause this line as often as he likes.
            tracing::debug!("a client's certificate is rejected: {error}");
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.state.load().clients()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.state.load().clients()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // The provider's schemes, for all clients.
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for ServerTlsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("clients", &self.clients).finish_non_exhaustive()
    }
}

/// Keeps names while the process lives, each list once.
///
/// The TLS library borrows the list without a bound in time, so a replaced one can never be freed. Authorities change
/// once in years, and only the operator of this server changes them.
fn for_ever(names: &[DistinguishedName]) -> &'static [DistinguishedName] {
    static KEPT: Mutex<Vec<&'static [DistinguishedName]>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock();
    let same =
        |known: &[DistinguishedName]| known.iter().map(|name| name.as_ref()).eq(names.iter().map(|name| name.as_ref()));
    if let Some(known) = kept.iter().find(|known| same(known)) {
        return known;
    }
    let new: &'static [DistinguishedName] = Box::leak(names.to_vec().into_boxed_slice());
    kept.push(new);
    new
}
