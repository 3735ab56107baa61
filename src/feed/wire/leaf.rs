//! The JSON form of a leaf: `["<key>", "<leaf>", "<kind>"]`. Long lists of leaves are made of it, so none of its parts is copied.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::feed::Subject;
use crate::feed::digest::{ListedLeaf, Short};

#[derive(Deserialize)]
struct Parts<'t>(#[serde(borrow)] Cow<'t, str>, #[serde(borrow)] Cow<'t, str>, #[serde(borrow)] Cow<'t, str>);

impl Serialize for ListedLeaf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.key.text(), format_args!("{}", self.leaf), self.key.kind().name()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ListedLeaf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts(key, leaf, kind) = Parts::deserialize(deserializer)?;
        match (Subject::parse(&key), Short::parse(&leaf)) {
            (Some(key), Some(leaf)) if key.kind().name() == kind => Ok(Self { key, leaf }),
            // The text is not repeated: it may be long.
            _ => Err(D::Error::custom("a leaf has a key, 16 hexadecimal digits, and the kind of the key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::SubjectKind;

    #[test]
    fn a_leaf_is_read_as_it_is_written_and_nothing_else_is() {
        let leaf = Short::parse("0123456789abcdef").expect("a digest");
        for kind in SubjectKind::ALL {
            let listed = ListedLeaf { key: Subject::from_raw(kind, [7; 32]), leaf };
            let (key, name) = (listed.key.text(), kind.name());
            let text = format!(r#"["{key}","0123456789abcdef","{name}"]"#);
            assert_eq!(serde_json::to_string(&listed).expect("JSON"), text);
            assert_eq!(serde_json::from_str::<ListedLeaf>(&text).expect("a leaf"), listed);
            let escaped = text.replace(name, &format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]));
            assert_eq!(serde_json::from_str::<ListedLeaf>(&escaped).expect("a leaf"), listed);
            let other = if kind == SubjectKind::Account { "operator" } else { "account" };
            for wrong in [
                text.replace(name, other),
                text.replace(&key, &key[1..]),
                text.replace("cdef", "cdeg"),
                text.replace("cdef", "cdef0"),
                text.replace(']', r#","more"]"#),
                format!(r#"["{key}","0123456789abcdef"]"#),
                format!(r#"["{key}",7,"{name}"]"#),
            ] {
                let error = serde_json::from_str::<ListedLeaf>(&wrong).expect_err(&wrong).to_string();
                assert!(!error.contains(&key[1..]), "{error}");
            }
        }
    }
}
