//! Blocks between lines of dashes, as nsc and the Go library write them.

use super::{is_token, stripped};

/// The blocks in a text.
#[derive(Debug, Default)]
pub(super) struct Blocks<'t> {
    /// The JWTs of the blocks that are whole.
    pub(super) found: Vec<&'t str>,
    /// How many blocks of a JWT begin, whole or not.
    pub(super) count: usize,
    /// The text without what may be JWTs in the blocks.
    pub(super) rest: String,
    /// Whether a block announces a private key, or a seed.
    pub(super) has_private_key: bool,
}

/// Finds the blocks: a line that ends in three dashes and has three more before, the JWT on its own line, and a line
/// that begins and ends in three dashes. The Go library's regular expression finds the same, except for blank lines.
pub(super) fn find(text: &str) -> Blocks<'_> {
    let lines: Vec<&str> = text.lines().map(stripped).filter(|line| !line.is_empty()).collect();
    let mut blocks = Blocks::default();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let announces = label(line).is_some_and(|label| label.contains("JWT"));
        blocks.has_private_key |= label(line).is_some_and(is_private);
        blocks.rest.push_str(line);
        blocks.rest.push('\n');
        match (is_header(line), lines.get(at + 1), lines.get(at + 2)) {
            (true, Some(jwt), Some(footer)) if is_token(jwt) && is_footer(footer) => {
                blocks.found.push(jwt);
                if !jwt.starts_with("ey") {
                    blocks.rest.push_str(jwt);
                    blocks.rest.push('\n');
                }
                blocks.count += 1;
                at += 3;
            }
            _ => {
                blocks.count += usize::from(announces);
                at += 1;
            }
        }
    }
    blocks
}

/// The label of the PEM block that a text begins with.
pub(super) fn pem(text: &str) -> Option<&str> {
    text.lines().find_map(|line| label(stripped(line)))
}

fn is_private(label: &str) -> bool {
    label.contains("PRIVATE KEY") || label.contains("SEED")
}

/// The label in the first line of a block.
fn label(line: &str) -> Option<&str> {
    let inner = line.trim_matches('-');
    let is_dashed = line.starts_with("---") && line.ends_with("---");
    inner.strip_prefix("BEGIN ").filter(|_| is_dashed)
}

fn is_header(line: &str) -> bool {
    line.strip_suffix("---").is_some_and(|rest| rest.contains("---"))
}

fn is_footer(line: &str) -> bool {
    line.strip_suffix("---").is_some_and(|rest| rest.starts_with("---"))
}
