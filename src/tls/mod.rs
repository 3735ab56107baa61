//! TLS files: read, checked, used, and read again when they change.
//!
//! A certificate lives for weeks, a connection for days and this process for months. So the files of a `tls` section
//! are looked at once a second ([`Files`]), and what is made of them is exchanged under the running server: connections
//! that are open stay, new ones get the new certificate. A file that cannot be used changes nothing.
//!
//! Errors name the setting, the file, what is wrong with it, and what to do.

mod error;
pub mod explain;
mod files;
mod not_after;
mod server;
mod snapshot;

pub use error::{Problem, TlsError};
pub use files::{Files, User};
pub use not_after::NotAfter;
pub use server::ServerTls;
pub use snapshot::{Identity, Snapshot};

/// The one provider of cryptography.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
