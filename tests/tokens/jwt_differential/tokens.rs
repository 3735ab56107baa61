//! Tokens around claims: other headers, signatures and spellings.

use nats_account_server::testkit::{HEADER, HEADER_V1, sign_raw};
use nkeys::KeyPair;

use super::random::Random;

/// Signs a payload, mostly as it should be.
pub fn sign(payload: &str, signer: &KeyPair, old: bool, random: &mut Random) -> String {
    let header = match (random.below(20), old) {
        (0, _) => random.pick(HEADERS),
        (_, true) => HEADER_V1,
        (_, false) => HEADER,
    };
    let bare = old != random.once_in(25);
    let token = sign_raw(header, payload, signer, bare);
    if random.once_in(12) { respell(token, random) } else { token }
}

/// Changes the text of a token.
fn respell(token: String, random: &mut Random) -> String {
    let at = random.below(token.len());
    let (before, after) = token.split_at(at);
    match random.below(10) {
        0 => before.to_owned(),
        1 => format!("{before}.{after}"),
        2 => format!("{before}\n{after}"),
        3 => format!(
            "{before}{}{}",
            random.pick(&["A", "_", "=", " ", "+", "\r", "\u{e9}"]),
            after.get(1..).unwrap_or("")
        ),
        4 => format!("{token}{}", random.pick(&["\n", "\r\n", "\n\n", " ", "=", "==", "A", "."])),
        // The last letter has bits to spare.
        5 | 6 => format!("{}{}", &token[..token.len() - 1], random.pick(&["A", "B", "g", "w", "Q", "f"])),
        7 => token.replacen('.', random.pick(&["\n.", ".\n", "..", "", " ."]), 1),
        8 => after.to_owned(),
        _ => format!("{}{token}", random.pick(&["\n", " ", ".", "\u{feff}"])),
    }
}

const HEADERS: &[&str] = &[
    r#"{"typ":"JWT","alg":"ed25519"}"#,
    r#"{"typ":"jwt","alg":"ED25519-NKEY"}"#,
    r#"{"TYP":"JwT","Alg":"ed25519-n\u212aey","x":[{}]}"#,
    r#"{"typ":"JWT","alg":"none"}"#,
    r#"{"typ":"JWT","alg":""}"#,
    r#"{"typ":"JWS","alg":"ed25519"}"#,
    r#"{"typ":"JWT"}"#,
    r#"{"typ":"JWT","alg":null}"#,
    r#"{"typ":1,"alg":"ed25519"}"#,
    r#"{"typ":"JWT","alg":"x","alg":"ed25519-nkey"}"#,
    r#"{"typ":"JWT","alg":"ed25519-nkey"} "#,
    r#"{"typ":"JWT","alg":"ed25519-nkey"}x"#,
    r#"["JWT"]"#,
    "null",
    "",
];
