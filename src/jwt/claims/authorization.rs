//! Claims that a nats-server and an authorization service exchange. The server never stores one. They are read so that
//! a valid one and a broken one are rejected with the library's words.

use super::super::read::members;

macro_rules! record {
    ($(#[$meta:meta])* $name:ident { $($json:literal $field:ident: $type:ty,)* } $($shared:tt)*) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub(in super::super) struct $name {
            $($field: $type,)*
        }
        members!($name { $($json => $field,)* $($shared)* });
    };
}

record!(
    /// The body of an authorization request.
    AuthorizationRequest {
        "server_id" server: Server,
        "user_nkey" user_nkey: String,
        "client_info" client: Client,
        "connect_opts" connect: Connect,
        "client_tls" tls: Option<Tls>,
        "request_nonce" nonce: String,
        "tags" tags: Vec<String>,
        "type" kind: String,
        "version" version: i64,
    }
);

record!(Server {
    "name" name: String,
    "host" host: String,
    "id" id: String,
    "version" version: String,
    "cluster" cluster: String,
    "tags" tags: Vec<String>,
    "xkey" xkey: String,
});

record!(Client {
    "host" host: String,
    "id" id: u64,
    "user" user: String,
    "name" name: String,
    "tags" tags: Vec<String>,
    "name_tag" name_tag: String,
    "kind" kind: String,
    "type" connection: String,
    "mqtt_id" mqtt_id: String,
    "nonce" nonce: String,
});

record!(Connect {
    "jwt" jwt: String,
    "nkey" nkey: String,
    "sig" signed_nonce: String,
    "auth_token" token: String,
    "user" user: String,
    "pass" password: String,
    "name" name: String,
    "lang" lang: String,
    "version" version: String,
    "protocol" protocol: i64,
});

record!(Tls {
    "version" version: String,
    "cipher" cipher: String,
    "certs" certs: Vec<String>,
    "verified_chains" chains: Vec<Vec<String>>,
});

record!(
    /// The body of an authorization response.
    AuthorizationResponse {
        "jwt" jwt: String,
        "error" error: String,
        "issuer_account" issuer_account: String,
        "tags" tags: Vec<String>,
        "type" kind: String,
        "version" version: i64,
    }
);
