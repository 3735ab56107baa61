//! The image: what its Dockerfile says.

use crate::{shipped, text_of};

const DOCKERFILE: &str = "deploy/Dockerfile";

/// The arguments of the last instruction of this kind, lines that go on joined.
fn instruction(kind: &str) -> String {
    let text = text_of(DOCKERFILE).replace("\\\n", " ");
    let line = text.lines().rev().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{DOCKERFILE} has no {kind}")).to_owned()
}

fn words(list: &str) -> Vec<String> {
    serde_json::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}"))
}

/// What every command line begins with.
pub(crate) fn entrypoint() -> Vec<String> {
    words(&instruction("ENTRYPOINT"))
}

/// The command that asks for the health of a container.
pub(crate) fn healthcheck() -> Vec<String> {
    words(instruction("HEALTHCHECK").split_once("CMD ").unwrap().1)
}

/// The variables that are set.
pub(crate) fn environment() -> Vec<(String, String)> {
    instruction("ENV")
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(k, v)| (k.into(), v.into()))
        .collect()
}

/// Whether an image is named by an exact version: three numbers, or two for Debian itself.
pub(crate) fn is_pinned(image: &str) -> bool {
    let Some((name, tag)) = image.split_once(':') else { return false };
    let version = tag.trim_start_matches('v').split('-').next().unwrap();
    let numbers = version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
    numbers >= if name == "debian" { 2 } else { 3 }
}

#[test]
fn the_image_is_pinned_unprivileged_and_described() {
    let text = text_of(DOCKERFILE);
    let bases: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next()).collect();
    assert_eq!(bases.len(), 2, "one image builds, another one runs");
    assert!(bases.iter().all(|base| is_pinned(base)), "{bases:?}");
    for (image, pinned) in [
        ("rust:1", false),
        ("rust:1.90.0-slim", true),
        ("debian:12.12-slim", true),
        ("nats", false),
        ("x:latest", false),
    ] {
        assert_eq!(is_pinned(image), pinned, "{image}");
    }
    assert_eq!(instruction("USER"), "10001:10001");
    assert_eq!(healthcheck()[..2], ["nats-account-server", "healthcheck"]);
    let labels = instruction("LABEL");
    for (label, value) in [
        ("title", "nats-account-server"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", "Apache-2.0"),
        ("revision", "$REVISION"),
        ("base.name", &format!("docker.io/library/{}", bases[1])),
    ] {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}=\"{value}\"")), "{label}: {labels}");
    }
    // What is copied reaches the builder.
    let context = text_of(".dockerignore");
    for copied in text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--")) {
        for source in copied.split(' ').take(copied.split(' ').count() - 1) {
            assert!(shipped(source).exists() && context.lines().any(|line| line == format!("!{source}")), "{source}");
        }
    }
    let profile = text_of("Cargo.toml").split("[profile.release]").nth(1).unwrap().to_owned();
    assert!(profile.lines().nth(1).unwrap() == "strip = \"symbols\"", "{profile}");
}
