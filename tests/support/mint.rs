//! Operators, accounts, users, and what they sign.

use nats_account_server::testkit::{self, HEADER, sign, sign_raw, with};
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::now;

/// An operator with one signing key.
pub(crate) struct Operator {
    identity: KeyPair,
    signing: KeyPair,
    system: Account,
    strict: bool,
    jwt: String,
}

impl Operator {
    pub(crate) fn new() -> Self {
        Self::of(false)
    }

    /// One that demands its signing keys to be used.
    pub(crate) fn strict() -> Self {
        Self::of(true)
    }

    fn of(strict: bool) -> Self {
        let (identity, signing, system) = (KeyPair::new_operator(), KeyPair::new_operator(), Account::named("SYS"));
        let mut operator = Self { identity, signing, system, strict, jwt: String::new() };
        operator.jwt = operator.listing(&[&operator.signing], 100_000);
        operator
    }

    /// The operator JWT, with another signing key beside the one it has.
    pub(crate) fn jwt_with_signing_key(&self, key: &KeyPair) -> String {
        self.listing(&[&self.signing, key], 0)
    }

    /// The operator JWT, with another system account.
    pub(crate) fn jwt_with_system_account(&self, system: &Account) -> String {
        let nats = json!({ "system_account": system.key() });
        sign(&with(self.claims(&[&self.signing], now()), json!({ "nats": nats })), &self.identity)
    }

    /// The operator JWT.
    pub(crate) fn jwt(&self) -> String {
        self.jwt.clone()
    }

    pub(crate) fn key(&self) -> String {
        self.identity.public_key()
    }

    /// The seeds of the identity key and of the signing key.
    pub(crate) fn seeds(&self) -> [String; 2] {
        [&self.identity, &self.signing].map(testkit::seed)
    }

    pub(crate) fn system(&self) -> &Account {
        &self.system
    }

    /// The private key that accounts are signed with unless a test says otherwise, as text.
    pub(crate) fn seed(&self) -> String {
        testkit::seed(self.signer())
    }

    /// The key that accounts are signed with unless a test says otherwise.
    fn signer(&self) -> &KeyPair {
        if self.strict { &self.signing } else { &self.identity }
    }

    /// The operator's JWT anew: with these signing keys, issued `age` seconds ago.
    pub(crate) fn listing(&self, keys: &[&KeyPair], age: i64) -> String {
        sign(&self.claims(keys, now() - age), &self.identity)
    }

    /// The operator's claims with these signing keys.
    pub(crate) fn claims(&self, keys: &[&KeyPair], iat: i64) -> Value {
        let nats = json!({ "strict_signing_key_usage": self.strict, "system_account": self.system.key() });
        with(testkit::operator(&self.identity, iat, keys), json!({ "name": "Tests", "nats": nats }))
    }

    /// Signs an account's claims as they stand.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        sign(claims, self.signer())
    }

    /// Signs with the signing key.
    pub(crate) fn sign_by_signing_key(&self, claims: &Value) -> String {
        sign(claims, &self.signing)
    }

    /// Signs with the identity key, also where that is not allowed.
    pub(crate) fn sign_by_identity_key(&self, claims: &Value) -> String {
        sign(claims, &self.identity)
    }

    /// A pack of so many versions of an account, the older ones first, made in a hurry.
    pub(crate) fn pack_of_versions(&self, account: &Account, versions: i64) -> String {
        let (first, key, issuer) = (now() - 2 * versions, account.key(), self.signer().public_key());
        let limits =
            r#"{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1}"#;
        let nats = format!(r#"{{"limits":{limits},"default_permissions":{{}},"type":"account","version":2}}"#);
        let lines = (first..first + versions).map(|iat| {
            let claims = format!(r#"{{"iat":{iat},"iss":"{issuer}","name":"A","sub":"{key}","nats":{nats}}}"#);
            format!("{key}|{}\n", sign_raw(HEADER, &claims, self.signer(), false))
        });
        lines.collect()
    }

    /// A plain JWT of an account, issued `age` seconds ago.
    pub(crate) fn account(&self, account: &Account, age: i64) -> String {
        self.sign(&account.claims(now() - age))
    }

    /// An operator-signed request to delete accounts, issued `age` seconds ago.
    pub(crate) fn delete_request(&self, accounts: &[&Account], age: i64) -> String {
        self.delete_request_at(accounts, now() - age)
    }

    /// The same, issued at `iat`.
    pub(crate) fn delete_request_at(&self, accounts: &[&Account], iat: i64) -> String {
        let keys: Vec<String> = accounts.iter().map(|account| account.key()).collect();
        self.sign(&testkit::delete_request(self.signer(), &keys, iat))
    }

    /// Signs claims about the signing key itself, as a delete request is.
    pub(crate) fn sign_as_its_own(&self, mut claims: Value) -> String {
        claims["sub"] = self.signer().public_key().into();
        self.sign(&claims)
    }
}

/// An account and its private key, as only its owner has it.
pub(crate) struct Account {
    pair: KeyPair,
    name: String,
}

impl Account {
    pub(crate) fn new() -> Self {
        Self::named("A")
    }

    pub(crate) fn named(name: &str) -> Self {
        Self { pair: KeyPair::new_account(), name: name.to_owned() }
    }

    /// The public key.
    pub(crate) fn key(&self) -> String {
        self.pair.public_key()
    }

    /// What the server calls it in its log: by its name and the ends of its key.
    pub(crate) fn called(&self) -> String {
        let key = self.key();
        format!("{} ({}…{})", self.name, &key[..4], &key[52..])
    }

    /// The path of its JWT.
    pub(crate) fn path(&self) -> String {
        format!("/jwt/v1/accounts/{}", self.key())
    }

    /// Claims without limits, issued at `iat`.
    pub(crate) fn claims(&self, iat: i64) -> Value {
        with(testkit::account(&self.pair, iat), json!({ "name": self.name }))
    }

    /// Claims that allow so many connections.
    pub(crate) fn with_connections(&self, iat: i64, connections: i64) -> Value {
        let mut claims = self.claims(iat);
        claims["nats"]["limits"]["conn"] = connections.into();
        claims
    }

    /// Claims that revoke what `user` was issued up to now.
    pub(crate) fn with_revocation(&self, iat: i64, user: &User) -> Value {
        let mut claims = self.claims(iat);
        claims["nats"]["revocations"] = json!({ user.key(): now() });
        claims
    }

    /// Claims with text of about so many bytes in them.
    pub(crate) fn with_bulk(&self, iat: i64, bytes: usize) -> Value {
        let mut claims = self.claims(iat);
        claims["nats"]["tags"] = json!(["x".repeat(bytes)]);
        claims
    }

    /// Claims that list a signing key.
    pub(crate) fn with_signing_key(&self, iat: i64, key: &KeyPair) -> Value {
        let mut claims = self.claims(iat);
        claims["nats"]["signing_keys"] = json!([key.public_key()]);
        claims
    }

    /// Claims with these exports and imports.
    pub(crate) fn with_shares(&self, iat: i64, exports: Value, imports: Value) -> Value {
        let mut claims = self.claims(iat);
        (claims["nats"]["exports"], claims["nats"]["imports"]) = (exports, imports);
        claims
    }

    /// Claims of an activation: leave for `importer` to import the stream `subject`, issued at `iat`.
    pub(crate) fn activation_claims(&self, importer: &Self, subject: &str, iat: i64) -> Value {
        with(testkit::activation(&importer.key(), subject, iat), json!({ "name": "leave" }))
    }

    /// Such an activation, signed with the account's own key, issued `age` seconds ago.
    pub(crate) fn activation(&self, importer: &Self, subject: &str, age: i64) -> String {
        self.sign(&self.activation_claims(importer, subject, now() - age))
    }

    /// Signs claims with the account's own key.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        sign(claims, &self.pair)
    }

    /// A new user of this account.
    pub(crate) fn user(&self) -> User {
        self.user_with(json!({}), json!({}))
    }

    /// A new user of this account, signed with one of its signing keys.
    pub(crate) fn user_of(&self, signing: &KeyPair) -> User {
        self.signed_user(now() - 60, json!({ "nats": { "issuer_account": self.key() } }), signing)
    }

    /// A new user of this account, issued at `iat`, whose JWT expires at `exp`.
    pub(crate) fn user_until(&self, iat: i64, exp: i64) -> User {
        self.signed_user(iat, json!({ "exp": exp }), &self.pair)
    }

    /// A new user of this account with permissions to publish and to subscribe.
    pub(crate) fn user_with(&self, publish: Value, subscribe: Value) -> User {
        self.signed_user(now() - 60, json!({ "nats": { "pub": publish, "sub": subscribe } }), &self.pair)
    }

    /// A new user of this account with further claims, signed with the account's own key, or else with a signing key.
    pub(crate) fn user_claiming(&self, more: Value, signing: Option<&KeyPair>) -> User {
        let issuer = signing.map_or(json!({}), |_| json!({ "nats": { "issuer_account": self.key() } }));
        self.signed_user(now() - 60, with(issuer, more), signing.unwrap_or(&self.pair))
    }

    fn signed_user(&self, iat: i64, more: Value, signer: &KeyPair) -> User {
        let pair = KeyPair::new_user();
        let claims = with(with(testkit::user(&pair, iat), json!({ "name": "user" })), more);
        User { jwt: sign(&claims, signer), pair }
    }
}

/// A user with the JWT that its account signed.
pub(crate) struct User {
    pair: KeyPair,
    pub(crate) jwt: String,
}

impl User {
    pub(crate) fn key(&self) -> String {
        self.pair.public_key()
    }

    /// The signature of a nats-server's nonce.
    pub(crate) fn sign(&self, nonce: &str) -> Vec<u8> {
        self.pair.sign(nonce.as_bytes()).unwrap()
    }

    /// The content of a `.creds` file.
    pub(crate) fn creds(&self) -> String {
        testkit::creds(&self.jwt, &self.pair, "")
    }
}
