//! What people give, as a table.

use nkeys::KeyPair;

use super::*;
use crate::key::Kind;

const JWT: &str = "eyJ0.eyJp.a-_b";

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

fn block(kind: &str, jwt: &str) -> String {
    format!("-----BEGIN NATS {kind} JWT-----\n{jwt}\n------END NATS {kind} JWT------\n")
}

fn creds(seed: &str) -> String {
    let user = block("USER", JWT);
    format!(
        "{user}\n************************* IMPORTANT *************************\nNKEY Seed printed below can be used to \
         sign and prove identity.\nNKEYs are sensitive and should be treated as secrets.\n\n-----BEGIN USER NKEY \
         SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[test]
fn the_jwt_is_found_in_what_surrounds_it() {
    let one = block("OPERATOR", JWT);
    for bytes in [
        JWT.as_bytes().to_vec(),
        format!("{JWT}\n").into_bytes(),
        format!(" \t\r\n\n{JWT} \r\n\r\n").into_bytes(),
        format!("\"{JWT}\"\n").into_bytes(),
        format!(" '{JWT}' ").into_bytes(),
        format!("\u{feff}{JWT}\r\n").into_bytes(),
        format!("\u{feff}\"{JWT}\"").into_bytes(),
        one.clone().into_bytes(),
        one.replace('\n', "\r\n").into_bytes(),
        one.replace('\n', "\n\n  ").into_bytes(),
        format!("# of the team\n{one}bye\n").into_bytes(),
        format!("it costs --- 3\n--- sold ---\n{one}").into_bytes(),
        format!("-----BEGIN-----\n{JWT}\n-----END-----").into_bytes(),
        format!("\u{feff} {one}").into_bytes(),
        utf16(&format!("\u{feff}{JWT}\r\n"), u16::to_le_bytes),
        utf16(&format!("\u{feff}{one}"), u16::to_be_bytes),
        utf16(&format!("{JWT}\r\n"), u16::to_le_bytes),
        utf16(&format!("\"{JWT}\""), u16::to_be_bytes),
    ] {
        assert_eq!(given(&bytes).as_deref(), Ok(JWT), "{}", String::from_utf8_lossy(&bytes));
    }
    for misspelt in ["eyJ0.eyJp.a+b", "eyJ0.é.a", "a.b.c"] {
        assert_eq!(given(misspelt.as_bytes()).as_deref(), Ok(misspelt));
    }
}

#[test]
fn what_tools_push_is_borrowed() {
    assert!(matches!(given(format!("{JWT}\n").as_bytes()), Ok(Cow::Borrowed(JWT))));
}

#[test]
fn what_is_no_jwt_is_named() {
    let key = |pair: KeyPair| pair.public_key();
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB/+==\n-----END CERTIFICATE-----\n";
    for (text, wanted) in [
        (String::new(), NotAJwt::Empty),
        (" \r\n\u{feff}\n".to_owned(), NotAJwt::Empty),
        (key(KeyPair::new_operator()), NotAJwt::PublicKey(Kind::Operator)),
        (format!("{}\n", key(KeyPair::new_account())), NotAJwt::PublicKey(Kind::Account)),
        (key(KeyPair::new_user()), NotAJwt::PublicKey(Kind::User)),
        (block("ACCOUNT", JWT) + &block("ACCOUNT", JWT), NotAJwt::Several),
        (format!("{JWT}\n{JWT}\n"), NotAJwt::Several),
        (format!("A|{JWT}\nB|{JWT}\n"), NotAJwt::Several),
        (format!("{}{JWT}\n", block("ACCOUNT", JWT)), NotAJwt::Several),
        (format!("-----BEGIN NATS ACCOUNT JWT-----\n{JWT}\n"), NotAJwt::Incomplete),
        (block("ACCOUNT", "eyJ0.eyJp"), NotAJwt::Incomplete),
        (block("ACCOUNT", "eyJ0.\neyJp.a"), NotAJwt::Incomplete),
        (block("ACCOUNT", JWT) + "-----BEGIN NATS ACCOUNT JWT-----\n", NotAJwt::Several),
        (format!("# of the team\n{JWT}\n"), NotAJwt::Surrounded),
        (JWT.replace('.', ".\r\n"), NotAJwt::Broken),
        ("eyJ0.eyJp".to_owned(), NotAJwt::Parts(2)),
        (format!("{JWT}.x"), NotAJwt::Parts(4)),
        (certificate.to_owned(), NotAJwt::Pem("CERTIFICATE".to_owned())),
        ("{\"sub\":\"A\"}".to_owned(), NotAJwt::Json),
        ("[1]".to_owned(), NotAJwt::Json),
        ("<!DOCTYPE html><html>".to_owned(), NotAJwt::Html),
        ("hello".to_owned(), NotAJwt::Text),
        ("a.b".to_owned(), NotAJwt::Text),
    ] {
        assert_eq!(given(text.as_bytes()), Err(wanted), "{text:?}");
    }
    for bytes in [&[0xff, 0xfe, 0x41][..], &[0x80, 0x81], &[0xff, 0xfe, 0x00, 0xd8], b"a\0b\0\0\0\xd8\xd8", b"ab\0"] {
        assert!(given(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_private_key_rejects_the_whole() {
    for pair in [KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user(), KeyPair::new_server()] {
        let seed = pair.seed().unwrap();
        let begins = "-----BEGIN OPERATOR NKEY SEED-----";
        for text in [
            seed.clone(),
            format!("{seed}\n"),
            seed.to_lowercase(),
            format!("# mine\n{seed}\n"),
            format!("{begins}\n{seed}\n------END OPERATOR NKEY SEED------\n"),
            format!("{JWT}\n{seed}\n"),
            format!("{seed}\n{JWT}\n"),
            format!("{JWT} {seed}"),
            format!("{seed}.b.c"),
            format!("a.{seed}.c"),
            format!("{{\"seed\":\"{seed}\"}}"),
            creds(&seed),
            creds(&seed).replace('\n', "\r\n"),
            format!("\u{feff}{}", creds(&seed)),
            block("ACCOUNT", JWT) + &seed,
            format!("{seed}\n{}", block("ACCOUNT", JWT)),
            block("ACCOUNT", JWT) + &block("ACCOUNT", JWT) + &seed,
            block("ACCOUNT", &seed),
        ] {
            for bytes in [text.clone().into_bytes(), utf16(&text, u16::to_le_bytes), utf16(&text, u16::to_be_bytes)] {
                let error = given(&bytes).expect_err(&text);
                assert!(error.is_private(), "{text:?}: {error:?}");
                assert!(error.to_string().contains("treat that key as disclosed"), "{error}");
                assert!(!error.to_string().contains(&seed[..12]), "{error}");
            }
        }
        let mut binary = seed.into_bytes();
        binary.extend(b"\n\xff\xfe\x80");
        assert_eq!(given(&binary), Err(NotAJwt::PrivateKey("")));
    }
    assert_eq!(
        given(creds("SUAA").as_bytes()).map_err(|error| error.is_private()),
        Err(true),
        "a seed that is cut off"
    );
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n";
    assert_eq!(given(pem.as_bytes()), Err(NotAJwt::PrivateKey("")));
}

proptest::proptest! {
    #[test]
    fn any_bytes_can_be_given(bytes: Vec<u8>, text: String) {
        let _ = (given(&bytes), given(text.as_bytes()));
    }

    #[test]
    fn any_text_may_surround_a_block(before in "[a-zA-Z0-9 .#*\n]{0,80}", after in "[a-zA-Z0-9 .#*\n]{0,80}") {
        let text = format!("{before}\n{}{after}", block("ACCOUNT", JWT));
        let found = given(text.as_bytes());
        proptest::prop_assert_eq!(found.as_deref(), Ok(JWT));
    }
}
