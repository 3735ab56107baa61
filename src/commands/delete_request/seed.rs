//! Reading an operator's seed, and what can be wrong with it, in words that never show it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nkeys::{KeyPair, KeyPairType};
use zeroize::Zeroizing;

use crate::key::{Kind, PublicKey};

/// The largest file that is looked at, in bytes: a seed and all that may stand around it.
const MAX_BYTES: usize = 64 << 10;
/// A text with this many characters of a seed may be a damaged seed; a whole one has 58.
const LIKE_A_SEED: usize = 40;

/// Reads the key pair of an operator, or of one of its signing keys, from a file; `-` is the standard input.
pub(super) fn read(file: &Path, stdin: &mut dyn Read, warn: &dyn Fn(&str)) -> Result<KeyPair, String> {
    if file.as_os_str() == "-" {
        return operator("the standard input", &text("the standard input", stdin)?);
    }
    let name = file.display().to_string();
    let mut opened = File::open(file).map_err(|error| format!("cannot read the seed file {name}: {error}"))?;
    let text = text(&name, &mut opened)?;
    if opened.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o044 != 0) {
        warn(&format!("{name} can be read by others than its owner; with chmod 600 it cannot"));
    }
    operator(&name, &text)
}

/// Whether a text may be a seed, be it a damaged one.
fn is_like_one(text: &str) -> bool {
    text.len() >= LIKE_A_SEED
        && text.starts_with('S')
        && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}

/// What a file holds. It is wiped from memory when it is dropped; the room for it is made beforehand, so that no part of it
/// is left where it had been before.
fn text(name: &str, from: &mut dyn Read) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(vec![0; MAX_BYTES + 1]);
    let mut length = 0;
    while length < bytes.len() {
        match from.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot read the seed from {name}: {error}")),
        }
    }
    if length > MAX_BYTES {
        return Err(format!("{name} is too large for a file with a seed"));
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The operator key pair in a text: a seed on a line of its own, whatever is around it.
fn operator(name: &str, text: &[u8]) -> Result<KeyPair, String> {
    let lines = || text.split(|byte| *byte == b'\n').filter_map(|line| Some(std::str::from_utf8(line).ok()?.trim()));
    let Some(seed) = lines().find(|line| is_like_one(line)) else {
        return Err(match lines().find_map(|line| PublicKey::parse(line).ok()) {
            Some(key) => {
                format!("{name} holds a public {} key; to sign takes the seed, which begins with SO", key.kind())
            }
            None => format!("{name} holds no seed: a line with its 58 characters, SO..., is expected"),
        });
    };
    let wanted = "the seed of an operator, SO..., is expected";
    if seed.starts_with("SX") {
        return Err(format!("{name} holds the seed of a curve key, which signs nothing; {wanted}"));
    }
    // What nkeys says is not passed on: it is not ours to know what it shows.
    let pair = KeyPair::from_seed(seed)
        .map_err(|_| format!("{name} holds a damaged seed: its length or its checksum is wrong"))?;
    if pair.key_pair_type() == KeyPairType::Operator {
        return Ok(pair);
    }
    Err(match PublicKey::parse(&pair.public_key()) {
        Ok(key) => format!("{name} holds the seed of {} {} key; {wanted}", article(key.kind()), key.kind()),
        Err(_) => format!("{name} holds the seed of a key of another kind; {wanted}"),
    })
}

const fn article(kind: Kind) -> &'static str {
    if matches!(kind, Kind::Account) { "an" } else { "a" }
}
