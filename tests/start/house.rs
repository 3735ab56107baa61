//! The house as `docs/architecture.md` draws it: a room of `src` uses only rooms on floors below it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The floors from the ground up, with the rooms on each. Rooms on one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["backoff", "calendar", "clock", "descriptors", "key", "throttle"],
    &["generation", "excerpt", "metrics"],
    &["config", "jwt"],
    &["access", "folder", "gate", "logging", "testkit", "tls"],
    &["audit", "feed"],
    &["upstream"],
    &["demo", "store"],
    &["node"],
    &["api"],
    &["backup", "http", "nats", "primary", "replica"],
    &["server"],
    &["commands"],
];

/// Rooms that lie lower and are shut all the same: the room, and those whose running code may not use it.
const SHUT: &[(&str, &[&str])] = &[
    // What is stored reaches the edges through the node alone.
    ("store", &["http", "nats"]),
    // It makes JWTs. Of all running code only the demo does.
    (
        "testkit",
        &["commands", "http", "nats", "node", "primary", "replica", "backup", "server", "store", "upstream", "feed"],
    ),
];

/// The largest share of the code that one room may have, in per cent.
const LARGEST_ROOM: usize = 15;
/// Lines of the longest file, and of the middle one.
const LONGEST_FILE: usize = 500;
const MIDDLE_FILE: usize = 150;
/// Lines of `main.rs`.
const MAIN: usize = 50;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The names behind `crate::` in a text, those in braces included.
fn uses(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        let name =
            |part: &str| part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((list, _)) => found.extend(list.split(',').map(name)),
            None => drop(found.insert(name(rest))),
        }
    }
    found
}

/// The code of a file without its comments and its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules that are declared for tests alone.
fn of_tests(text: &str) -> impl Iterator<Item = String> {
    text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let declared = rest.lines().next()?.strip_suffix(';')?;
        Some(declared.rsplit_once("mod ")?.1.to_owned())
    })
}

#[test]
fn no_room_uses_one_on_its_own_floor_or_above() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floor: BTreeMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(at, rooms)| rooms.iter().map(move |room| (*room, at))).collect();
    let mut all = Vec::new();
    files(&root, &mut all);
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let tests: BTreeSet<String> = all.iter().flat_map(|path| of_tests(&read(path)).collect::<Vec<_>>()).collect();
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for path in all {
        let inside = path.strip_prefix(&root).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs").to_owned();
        let is_test = inside.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            tests.contains(part.trim_end_matches(".rs"))
        });
        if is_test || matches!(&*room, "lib" | "main") {
            continue;
        }
        let Some(own) = floor.get(&*room) else { panic!("{room} has no floor: give it one here and in the page") };
        for used in uses(&code(&read(&path))) {
            if SHUT.iter().any(|(shut, rooms)| used == *shut && rooms.contains(&&*room)) {
                wrong.push(format!("{} uses {used}, which is shut for it", inside.display()));
            }
            match floor.get(&*used) {
                Some(other) if used != room && other >= own => wrong.push(format!("{} uses {used}", inside.display())),
                _ => {}
            }
        }
        seen.insert(room);
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(seen.len(), floor.len(), "every room of the table is there: {seen:?}");
}

#[test]
fn no_room_and_no_file_is_too_large() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    let (mut rooms, mut lengths) = (BTreeMap::<String, usize>::new(), Vec::new());
    for path in all {
        let inside = path.strip_prefix(&root).unwrap();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", inside.display());
        assert!(inside != Path::new("main.rs") || lines < MAIN, "main.rs has {lines} lines");
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        *rooms.entry(first.trim_end_matches(".rs").to_owned()).or_default() += lines;
        lengths.push(lines);
    }
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] <= MIDDLE_FILE, "the middle file has {} lines", lengths[lengths.len() / 2]);
    let total: usize = lengths.iter().sum();
    for (room, lines) in rooms {
        assert!(lines * 100 <= total * LARGEST_ROOM, "{room} has {lines} of {total} lines");
    }
}
