//! The folder of JWTs: what others write there, and what becomes of it.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod folder;
mod folder_strange;
mod other_folders;
