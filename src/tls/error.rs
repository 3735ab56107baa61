//! Errors of TLS files.

use std::path::PathBuf;

/// A TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {}: {problem}", path.display())]
pub struct TlsError {
    /// The setting that names the file.
    pub setting: String,
    /// The file.
    pub path: PathBuf,
    /// The problem.
    pub problem: Problem,
}

/// A problem of a TLS file. Each text says what to do. None repeats the content of the file, which may be a key.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error(
        "the file cannot be read: {0}; it must exist, and the user that this server runs as must be able to read it"
    )]
    Unreadable(std::io::Error),
    /// It is cut off, or not PEM.
    #[error("the file is not well-formed PEM ({0}); was it written to its end?")]
    Pem(&'static str),
    /// No certificate is in it.
    #[error("there is no certificate in it; a PEM file with -----BEGIN CERTIFICATE----- is needed")]
    NoCertificate,
    /// A certificate in it cannot be read.
    #[error("certificate {number} in it cannot be used: {reason}")]
    Certificate {
        /// Which one, from 1.
        number: usize,
        /// The TLS library's message.
        reason: String,
    },
    /// No private key is in it.
    #[error("there is no private key in it; a PEM file with -----BEGIN PRIVATE KEY----- is needed")]
    NoKey,
    /// The private key needs a pass phrase.
    #[error("the private key in it is encrypted; write it without a pass phrase, as `openssl pkey` does")]
    EncryptedKey,
    /// The private key is of a kind that cannot be used.
    #[error("the private key in it cannot be used: {0}; give an ECDSA, Ed25519 or RSA key")]
    Key(String),
    /// Certificate and key are not a pair.
    #[error("the key does not match the certificate in {}; give the key that this certificate was issued for", .0.display())]
    Mismatch(PathBuf),
    /// The key belongs to a certificate further down in the file.
    #[error(
        "the key matches certificate {number} in {}, which is not the first; put that certificate first, and its \
         issuers after it", certificates.display()
    )]
    Order {
        /// The file with the certificates.
        certificates: PathBuf,
        /// Which one the key matches, from 1.
        number: usize,
    },
    /// The TLS library rejects it for another reason.
    #[error("it cannot be used: {0}")]
    Refused(String),
}
