//! The first fields of a certificate (RFC 5280, section 4.1). A few lines here replace a library for all of X.509.

const INTEGER: u8 = 0x02;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the version of a certificate, which the first version leaves out.
const VERSION: u8 = 0xa0;

/// The fields of a certificate in DER from its validity on: the validity, the subject, and more. `None`: it has another form
/// than certificates have.
pub(super) fn from_validity(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (mut fields, _) = take(certificate, SEQUENCE)?;
    if let Some((_, rest)) = take(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = take(fields, tag)?;
    }
    Some(fields)
}

/// The content of the element at the beginning, if it has this tag, and what follows it.
pub(super) fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        // How many bytes the length has; no certificate needs more than four.
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        // 0x80 is a length that is not said, which DER does not have.
        _ => return None,
    };
    rest.split_at_checked(length)
}
