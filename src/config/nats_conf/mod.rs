//! The NATS configuration language, as nats-server and the first nats-account-server read it.
//!
//! It is a relaxed JSON: keys need no quotes, the separator may be `=`, `:` or a blank, lines end values, comments start
//! with `#` or `//`, numbers carry size suffixes, `$name` refers to an earlier key or to the environment, and `include`
//! pulls in another file.
//!
//! A file becomes a [`config::Map`], in which every value carries `file:line` as its origin, so that a later error
//! about a value can name its place. Text that cannot be read gives a [`SyntaxError`] with file, line, column, the line
//! itself and a hint.
//!
//! The parts: [`cursor`] walks characters and knows the place; [`text`] reads quoted, block and bare strings; [`word`]
//! decides what a bare word means; [`parser`] knows maps, arrays and keys; [`refs`] resolves `$name` and [`mod@include`]
//! finds files.
//!
//! What is deliberately unlike the Go code: an include is relative to the file that it stands in, a circle of includes
//! is an error, `[1]` is an array with a number, and a word such as `2024-x` is a string. Everything that Go's parser
//! accepts means the same here.

mod cursor;
mod error;
mod include;
mod parser;
mod refs;
mod text;
mod word;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::Path;

use config::{Format, Map, Value};

pub use error::SyntaxError;

/// The NATS configuration language as a format of the `config` crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct NatsConf;

impl NatsConf {
    /// Reads `text`; `name` is its file, for messages and for relative includes. Also returns warnings about what is
    /// odd and was accepted.
    pub fn read(name: &Path, text: &str) -> Result<(Map<String, Value>, Vec<String>), SyntaxError> {
        parser::parse(name, text, &|name| std::env::var(name).ok())
    }
}

impl Format for NatsConf {
    fn parse(&self, uri: Option<&String>, text: &str) -> Result<Map<String, Value>, Box<dyn Error + Send + Sync>> {
        let name = uri.map_or("configuration", String::as_str);
        Self::read(Path::new(name), text).map(|(map, _)| map).map_err(Into::into)
    }
}
