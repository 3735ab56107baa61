//! What every client of an account server needs: replicas, imports and commands.

pub(crate) mod body;
