//! Reads some facts of a journal that this process does not own.

use std::collections::HashMap;
use std::path::Path;

use super::super::error::StoreError;
use super::open::open_foreign;
use super::schema::{self, Role};
use crate::gate::OperatorChain;
use crate::key::PublicKey;

/// The operator JWTs in force in the journal at `path`, which a server may be writing.
pub fn operator_in(path: &Path) -> Result<Option<OperatorChain>, StoreError> {
    let connection = open_foreign(path)?;
    super::super::operator::load(&connection).map_err(StoreError::sqlite(path))
}

/// The role of the journal at `path`.
pub fn role_of(path: &Path) -> Result<Role, StoreError> {
    let connection = open_foreign(path)?;
    schema::meta(&connection).map(|meta| meta.role).map_err(StoreError::sqlite(path))
}

/// The operator JWTs in force and the withdrawn keys, as the journal at `path` has them.
pub fn trust_in(path: &Path) -> Result<(Option<OperatorChain>, HashMap<PublicKey, i64>), StoreError> {
    let connection = open_foreign(path)?;
    let read = || Ok((super::super::operator::load(&connection)?, super::operator::withdrawn(&connection)?));
    read().map_err(StoreError::sqlite(path))
}
