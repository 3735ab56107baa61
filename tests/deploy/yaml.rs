//! YAML files as the programs read them that they are for.

use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

/// The one document in a text.
pub(crate) fn parse(name: &str, text: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(documents.len(), 1, "{name}");
    merged(documents.remove(0))
}

/// The same with the mappings behind `<<` merged. What is written next to it wins.
fn merged(yaml: Yaml) -> Yaml {
    match yaml {
        Yaml::Hash(hash) => {
            let mut made = Hash::new();
            let (merges, own): (Vec<_>, Vec<_>) = hash.into_iter().partition(|(key, _)| key.as_str() == Some("<<"));
            let merges = merges.into_iter().map(|(_, value)| merged(value));
            for (key, value) in merges.flat_map(|merge| merge.into_hash().expect("<< merges a mapping")) {
                made.insert(key, value);
            }
            for (key, value) in own {
                made.insert(key, merged(value));
            }
            Yaml::Hash(made)
        }
        Yaml::Array(items) => Yaml::Array(items.into_iter().map(merged).collect()),
        other => other,
    }
}

/// The members of a mapping; none if there is no mapping.
pub(crate) fn members(yaml: &Yaml) -> Vec<(String, &Yaml)> {
    yaml.as_hash().into_iter().flatten().map(|(key, value)| (key.as_str().unwrap().to_owned(), value)).collect()
}

/// The items of a list; none if there is no list.
pub(crate) fn items(yaml: &Yaml) -> &[Yaml] {
    yaml.as_vec().map_or(&[], Vec::as_slice)
}

/// The texts in a list.
pub(crate) fn texts(yaml: &Yaml) -> Vec<String> {
    items(yaml).iter().map(text).collect()
}

/// A scalar as a text.
pub(crate) fn text(yaml: &Yaml) -> String {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(value) => value.to_string(),
        other => panic!("no text: {other:?}"),
    }
}
