//! TLS files: read, checked, used, and read again when they change.
//!
//! A certificate is valid for weeks, but this process runs for months. So [`TlsFiles`] checks the files of a `tls` section
//! once a second and replaces their product in the running server. Open connections stay, new ones get the new
//! certificate. An unusable file changes nothing.
//!
//! Errors name the setting, the file, the problem, and what to do.

mod der;
mod error;
pub mod explain;
mod files;
mod not_after;
mod own;
mod sans;
mod server;
mod snapshot;
mod subject;

pub use error::{Problem, TlsError};
pub use files::{TlsFiles, TlsFilesUser};
pub use not_after::NotAfter;
pub use own::client_of_own;
pub use sans::sans;
pub use server::ServerTls;
pub use snapshot::{TlsIdentity, TlsSnapshot};
pub use subject::subject;

/// The one provider of cryptography.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
