//! YAML that would cost too much to read.
//!
//! The YAML reader of the `config` crate copies the target of each alias and recurses at each level. So a short text
//! could use all memory, or end the process. This module counts first, event by event.

use std::collections::HashMap;

use yaml_rust2::parser::{Event, Parser};

/// How deep maps and lists may be nested.
const MAX_DEPTH: usize = 100;

/// Maximum number of bytes of a text with its aliases expanded.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Approximate memory of a value besides its text, in bytes.
const VALUE: usize = 100;

/// Rejects a text that is nested too deep or expands too far. The reader reports a text that is no YAML.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut parser = Parser::new_from_str(text);
    let mut total: usize = 0;
    // The anchors of the maps and lists around this place, with the total before each.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut anchored: HashMap<usize, usize> = HashMap::new();
    while let Ok((event, mark)) = parser.next_token() {
        match event {
            Event::StreamEnd => break,
            Event::Scalar(text, _, anchor, _) => {
                total += VALUE + text.len();
                anchored.insert(anchor, VALUE + text.len());
            }
            Event::Alias(anchor) => total += anchored.get(&anchor).copied().unwrap_or(VALUE),
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push((anchor, total));
                total += VALUE;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, before)) = open.pop() {
                    anchored.insert(anchor, total - before);
                }
            }
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            return Err(format!("line {}: nested more than {MAX_DEPTH} levels deep", mark.line()));
        }
        if total > MAX_BYTES {
            return Err(format!("line {}: the aliases expand to more than {MAX_BYTES} bytes", mark.line()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_too_deep_or_grows_too_big_is_refused() {
        let deep: String = (0..3000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        let mut laughs = "a0: &a0 [x, x]\n".to_owned();
        for i in 1..40 {
            laughs += &format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1);
        }
        for (text, wanted) in [(deep, "levels deep"), (laughs, "the aliases expand to")] {
            let problem = check(&text).unwrap_err();
            assert!(problem.contains(wanted), "{problem}");
        }
        for good in ["", "a: &x [1, 2]\nb: *x\n", "{ : [", "a: {b: [{c: 1}]}"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
