//! The chain of operator JWTs, as the journal keeps it, in two tables.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::clock;
use crate::gate::{OperatorChain, Origin, Replaced, Trust};

/// The tables.
pub(super) const TABLES: &str = "
CREATE TABLE operator_link (    -- the operator JWTs in force
    place  INTEGER PRIMARY KEY, -- 0 is the anchor, the last one is in force
    jwt    TEXT NOT NULL,
    origin TEXT                 -- of the anchor: 'identity', 'configured' or 'trusted'; null for other links
);
CREATE TABLE operator_replaced ( -- operator JWTs that were in force, and that their iat alone does not bar
    identity BLOB PRIMARY KEY,   -- SHA-256 of the signing input
    iat      INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Writes the chain, in the place of what was there.
pub(super) fn save(connection: &Connection, chain: &OperatorChain) -> rusqlite::Result<()> {
    let origin = chain.origin().label();
    let links = chain.links().map(|link| link.text());
    write(connection, origin, links, chain.replaced())
}

/// The same, of texts that are not judged here.
pub(super) fn write<'t>(
    connection: &Connection,
    origin: &str,
    links: impl IntoIterator<Item = &'t str>,
    replaced: &[Replaced],
) -> rusqlite::Result<()> {
    connection.execute_batch("DELETE FROM operator_link; DELETE FROM operator_replaced")?;
    let mut statement =
        connection.prepare_cached("INSERT INTO operator_link (place, jwt, origin) VALUES (?1, ?2, ?3)")?;
    for (place, jwt) in (0_i64..).zip(links) {
        statement.execute(params![place, jwt, (place == 0).then_some(origin)])?;
    }
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO operator_replaced (identity, iat) VALUES (?1, ?2)")?;
    for old in replaced {
        statement.execute(params![old.identity, old.iat])?;
    }
    Ok(())
}

/// Reads the chain back. A link that cannot be used is an error: without it, older keys would count again.
pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Option<OperatorChain>> {
    let origin: Option<Option<String>> = connection
        .query_row("SELECT origin FROM operator_link ORDER BY place LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let Some(origin) = origin else { return Ok(None) };
    let jwts = connection
        .prepare("SELECT jwt FROM operator_link ORDER BY place")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    let now = clock::unix_seconds();
    let read = |jwt: &String| {
        let trust = Trust::from_operator_jwt(jwt, now);
        trust.map(Arc::new).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
    };
    let links = jwts.iter().map(read).collect::<Result<_, _>>()?;
    let replaced = connection
        .prepare("SELECT iat, identity FROM operator_replaced ORDER BY identity")?
        .query_map([], |row| Ok(Replaced { iat: row.get(0)?, identity: row.get(1)? }))?
        .collect::<rusqlite::Result<_>>()?;
    let origin = origin.as_deref().and_then(Origin::from_label).unwrap_or(Origin::Configured);
    Ok(OperatorChain::restore(origin, links, replaced))
}
