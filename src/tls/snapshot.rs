//! The files of a `tls` section, as they were at one moment.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use super::{NotAfter, Problem, TlsError, explain};
use crate::config::Tls;

/// The content of the files, read once, so that the compared content is the used one.
pub struct TlsSnapshot {
    section: &'static str,
    cert: Option<ReadFiles>,
    key: Option<ReadFiles>,
    root: Option<ReadFiles>,
}

struct ReadFiles {
    path: PathBuf,
    content: io::Result<Vec<u8>>,
}

/// A certificate chain and its key, which are a pair.
#[derive(Debug)]
pub struct TlsIdentity {
    /// The own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// The same, ready to sign.
    pub certified: CertifiedKey,
    /// When the own certificate expires, if it says so in a known form.
    pub not_after: Option<NotAfter>,
}

impl TlsSnapshot {
    /// Reads the files of a section, such as `http.tls`. Blocks. What cannot be read is an error only when it is used.
    pub fn read(section: &'static str, files: &Tls) -> Self {
        let read = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| ReadFiles { path: path.clone(), content: std::fs::read(path) })
        };
        Self { section, cert: read(&files.cert), key: read(&files.key), root: read(&files.root) }
    }

    /// Differs when a file's name or content does, or why it cannot be read.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for file in [&self.cert, &self.key, &self.root] {
            let Some(file) = file else {
                digest.update([0]);
                continue;
            };
            let (kind, content) = match &file.content {
                Ok(content) => (1, Cow::Borrowed(&content[..])),
                Err(error) => (2, Cow::Owned(error.to_string().into_bytes())),
            };
            digest.update([kind]);
            for part in [file.path.as_os_str().as_encoded_bytes(), &content] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        digest.finalize().into()
    }

    /// Certificate and key, if they are set.
    pub fn identity(&self) -> Result<Option<TlsIdentity>, TlsError> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(None) };
        let chain = certificates(cert).map_err(|problem| self.error("cert", cert, problem))?;
        let private = private_key(key).map_err(|problem| self.error("key", key, problem))?;
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private)
            .map_err(|error| self.error("key", key, Problem::Key(error.to_string())))?;
        let matches = |certificate: &CertificateDer<'static>| {
            CertifiedKey::new(vec![certificate.clone()], signing.clone()).keys_match()
        };
        if let Err(error) = matches(&chain[0]) {
            let mismatch = rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch);
            return Err(if error != mismatch {
                self.error(
                    "cert",
                    cert,
                    Problem::Certificate { number: 1, reason: explain::certificate(&error.to_string()) },
                )
            } else if let Some(at) = chain.iter().position(|other| matches(other).is_ok()) {
                self.error("key", key, Problem::Order { certificates: cert.path.clone(), number: at + 1 })
            } else {
                self.error("key", key, Problem::Mismatch(cert.path.clone()))
            });
        }
        let not_after = NotAfter::of(&chain[0]);
        Ok(Some(TlsIdentity { certified: CertifiedKey::new(chain.clone(), signing), chain, key: private, not_after }))
    }

    /// Authorities that the other side's certificate is checked against; none if the section names none.
    pub fn roots(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let Some(root) = &self.root else { return Ok(Vec::new()) };
        let found = certificates(root).map_err(|problem| self.error("root", root, problem))?;
        for (at, certificate) in found.iter().enumerate() {
            RootCertStore::empty().add(certificate.clone()).map_err(|error| {
                self.error(
                    "root",
                    root,
                    Problem::Certificate { number: at + 1, reason: explain::certificate(&error.to_string()) },
                )
            })?;
        }
        Ok(found)
    }

    /// An error about the certificate file, or the one with the roots, that only the TLS library finds.
    pub(crate) fn refused(&self, reason: String) -> TlsError {
        let (name, path) = match (&self.root, &self.cert) {
            (Some(root), _) => ("root", root.path.clone()),
            (None, Some(cert)) => ("cert", cert.path.clone()),
            (None, None) => ("cert", PathBuf::new()),
        };
        TlsError { setting: format!("{}.{name}", self.section), path, problem: Problem::Refused(reason) }
    }

    fn error(&self, name: &str, file: &ReadFiles, problem: Problem) -> TlsError {
        TlsError { setting: format!("{}.{name}", self.section), path: file.path.clone(), problem }
    }
}

impl TlsIdentity {
    /// Chain and key as one PEM text, which is what some libraries take.
    pub fn to_pem(&self) -> String {
        let key = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let section = |label: &str, der: &[u8]| {
            let text = data_encoding::BASE64.encode(der);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        let chain: String = self.chain.iter().map(|certificate| section("CERTIFICATE", certificate)).collect();
        chain + &section(key, self.key.secret_der())
    }
}

impl fmt::Debug for TlsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the content: it may be a key.
        let path = |file: &Option<ReadFiles>| file.as_ref().map(|file| file.path.clone());
        let (cert, key, root) = (path(&self.cert), path(&self.key), path(&self.root));
        let mut shown = f.debug_struct("Snapshot");
        shown.field("section", &self.section).field("cert", &cert).field("key", &key).field("root", &root).finish()
    }
}

/// At least one certificate.
fn certificates(file: &ReadFiles) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content(file)?).collect();
    match found {
        Ok(found) if found.is_empty() => Err(Problem::NoCertificate),
        Ok(found) => Ok(found),
        Err(error) => Err(pem_problem(&error, Problem::NoCertificate)),
    }
}

fn private_key(file: &ReadFiles) -> Result<PrivateKeyDer<'static>, Problem> {
    let content = content(file)?;
    PrivateKeyDer::from_pem_slice(content).map_err(|error| {
        let text = String::from_utf8_lossy(content);
        // The form of PKCS #8, and that of OpenSSL's own files.
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            Problem::EncryptedKey
        } else {
            pem_problem(&error, Problem::NoKey)
        }
    })
}

fn content(file: &ReadFiles) -> Result<&[u8], Problem> {
    match &file.content {
        Ok(content) => Ok(content),
        // The file keeps the error, so this is a copy.
        Err(error) => Err(Problem::Unreadable(
            error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error),
        )),
    }
}

/// The library's own texts show lines of the file.
fn pem_problem(error: &pem::Error, nothing: Problem) -> Problem {
    match error {
        pem::Error::NoItemsFound => nothing,
        pem::Error::MissingSectionEnd { .. } => Problem::Pem("a section has no end"),
        pem::Error::IllegalSectionStart { .. } => Problem::Pem("a section begins with a malformed line"),
        pem::Error::Base64Decode(_) => Problem::Pem("a section is not base64"),
        _ => Problem::Pem("it cannot be read"),
    }
}
