//! Certificates for tests, and a TLS client that shows what it sees.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};

/// A certificate authority of the tests' own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For a server on this machine.
    pub(crate) fn server(&self) -> Pair {
        self.issue(vec!["localhost".to_owned(), "127.0.0.1".to_owned()], ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client.
    pub(crate) fn client(&self) -> Pair {
        self.issue(vec!["client.example".to_owned()], ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// For a server of that name, until the beginning of a year.
    pub(crate) fn server_until(&self, year: i32, name: &str) -> Pair {
        self.issue_until(year, vec![name.to_owned()], ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue(&self, names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> Pair {
        self.issue_until(2090, names, usage)
    }

    fn issue_until(&self, year: i32, names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> Pair {
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }

    /// Puts its certificate into a file.
    pub(crate) fn write(&self, file: &Path) -> PathBuf {
        std::fs::write(file, &self.pem).unwrap();
        file.to_owned()
    }

    /// An HTTP client that trusts this authority alone.
    pub(crate) fn http_client(&self, own: Option<&Pair>) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .tls_certs_only([root]);
        match own {
            Some(own) => {
                client.identity(reqwest::Identity::from_pem((own.cert.clone() + &own.key).as_bytes()).unwrap())
            }
            None => client,
        }
    }

    /// What connections are made with that trust this authority alone, and remember their sessions.
    pub(crate) fn client_config(
        &self,
        own: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match own {
            Some(own) => config.with_client_auth_cert(vec![own.der()], own.private()).unwrap(),
            None => config.with_no_client_auth(),
        })
    }
}

impl Pair {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// Puts both into files, one after the other.
    pub(crate) fn write(&self, cert: &Path, key: &Path) {
        std::fs::write(cert, &self.cert).unwrap();
        std::fs::write(key, &self.key).unwrap();
    }
}

/// One connection, on which one request follows the other. It blocks, which is fine as the server is another process.
pub(crate) struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    /// Connects and completes the handshake with one request.
    pub(crate) fn open(address: &str, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let client = ClientConnection::new(config.clone(), "127.0.0.1".try_into().unwrap()).unwrap();
        let mut connection = Self(StreamOwned::new(client, stream));
        connection.get("/livez")?;
        Ok(connection)
    }

    /// Sends a request and reads the head of its answer, and a body of known length.
    pub(crate) fn get(&mut self, path: &str) -> std::io::Result<String> {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())?;
        self.answer()
    }

    /// Sends bytes as they stand.
    pub(crate) fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads the head of an answer, and a body of known length.
    pub(crate) fn answer(&mut self) -> std::io::Result<String> {
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let length = self.0.read(&mut piece)?;
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(text);
            }
        }
    }

    /// Sends bytes as they stand and reads to the end of the connection.
    pub(crate) fn raw(&mut self, text: &str) -> String {
        self.send(text);
        let mut answer = Vec::new();
        // A server that closes without the closing words of TLS is no matter here.
        let _ = self.0.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The protocol that was agreed on in the handshake.
    pub(crate) fn protocol(&self) -> Option<String> {
        self.0.conn.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned())
    }

    /// The server's own certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}
