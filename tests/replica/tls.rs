//! A replica and a server that do not come to speak TLS with each other.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;

use crate::support::{Account, Authority, Launch, NatsLaunch, Operator, Pair, Server};

/// The certificate without its version, which makes it one of version 1. Its signature is of no matter: the version comes first.
fn version_1(der: &CertificateDer<'_>) -> CertificateDer<'static> {
    const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];
    let mut bytes = der.to_vec();
    // Two sequences of long lengths, and the version.
    assert_eq!([bytes[0], bytes[1], bytes[4], bytes[5]], [0x30, 0x82, 0x30, 0x82]);
    assert_eq!(bytes[8..13], VERSION_3);
    bytes.drain(8..13);
    for at in [2, 6] {
        let length = u16::from_be_bytes([bytes[at], bytes[at + 1]]) - 5;
        bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    bytes.into()
}

/// Accepts TLS connections with this certificate, and closes them.
async fn shows(certificate: CertificateDer<'static>, pair: &Pair) -> String {
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The replica ends the handshake.
            let _ = acceptor.accept(stream).await;
        }
    });
    url
}

#[tokio::test]
async fn each_way_not_to_come_to_tls_has_its_sentence() {
    let (operator, authority, folder) = (Operator::new(), Authority::new("Tests"), tempfile::tempdir().unwrap());
    let root = authority.write(&folder.path().join("ca.pem"));
    let good = authority.server();
    let (cert, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    good.write(&cert, &key);
    let https = Launch::primary(&operator).https(&cert, &key, authority.http_client(None)).start().await;
    let http = Server::primary(&operator).await;
    let nats = NatsLaunch::bare("2.12.8").with("http: \"127.0.0.1:-1\"").start().await;
    let (client, expired) = (authority.client(), authority.server_until(2021, "127.0.0.1"));
    let elsewhere = authority.server_until(2090, "elsewhere.example");
    let table = [
        (https.url.replace("https:", "http:"), "the URL says http://: write https:// in primary"),
        (http.url.replace("http:", "https:"), "the URL says https://: write http:// in primary"),
        (format!("https://{}", nats.monitoring()), "the URL says https://: write http:// in primary"),
        (shows(version_1(&good.der()), &good).await, "X.509 version 1"),
        (shows(client.der(), &client).await, "its certificate is not for servers"),
        (shows(elsewhere.der(), &elsewhere).await, "its certificate is for another name"),
        (shows(expired.der(), &expired).await, "its certificate has expired"),
        (
            shows(Authority::new("Other").server().der(), &good).await,
            "name a file with that authority in replica.tls.root",
        ),
    ];
    for (url, said) in table {
        let replica = Launch::replica(&operator, &url).path("NAS_REPLICA__TLS__ROOT", &root).start_unready().await;
        let answer = replica.http.get(&Account::new().path()).await.expect(503);
        assert!(answer.body.contains(said), "{said}: {}", answer.body);
        replica.logs(said).await;
        let ready = replica.http.get("/readyz").await.expect(503).body;
        assert!(ready.contains(said), "{said}: {ready}");
    }
}

#[tokio::test]
async fn a_certificate_of_version_1_in_a_file_is_called_that() {
    let (operator, pair, folder) = (Operator::new(), Authority::new("Tests").server(), tempfile::tempdir().unwrap());
    let (cert, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    pair.write(&cert, &key);
    let text = data_encoding::BASE64.encode(&version_1(&pair.der()));
    std::fs::write(&cert, format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")).unwrap();
    for section in ["HTTP", "REPLICA", "NATS"] {
        let launch = if section == "REPLICA" {
            Launch::replica(&operator, "https://127.0.0.1:1")
        } else {
            Launch::primary(&operator).flag("-nats", "tls://127.0.0.1:1")
        };
        let launch =
            launch.path(&format!("NAS_{section}__TLS__CERT"), &cert).path(&format!("NAS_{section}__TLS__KEY"), &key);
        let (code, text) = launch.flag("-hp", "127.0.0.1:0").fail().await;
        assert!(code == Some(1) && text.contains("server.pem: certificate 1 in it"), "{section}: {text}");
        assert!(text.contains("X.509 version 1"), "{section}: {text}");
    }
}
