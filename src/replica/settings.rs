//! A replica as the settings say.

use super::{Access, Place, Setup};
use crate::config::{Settings, Store};
use crate::folder::STATE_FOLDER;

impl Setup {
    /// As the settings say.
    pub fn of(settings: &Settings) -> Self {
        let replica = &settings.replica;
        Self {
            primaries: settings.primary.clone(),
            mode: replica.mode,
            cache_bytes: replica.cache_bytes,
            ttl: replica.ttl,
            timeout: replica.timeout,
            negative_ttl: replica.negative_ttl,
            writes: replica.writes,
            access: Access::of(replica),
            place: Place::of(&settings.store),
            change_operator: settings.change_operator(),
        }
    }
}

impl Place {
    /// A folder that is only to be read has no room for a snapshot.
    fn of(store: &Store) -> Self {
        let own = store.dir.as_ref().filter(|_| !store.readonly).map(|dir| dir.join(STATE_FOLDER));
        Self {
            state_dir: store.state_dir.clone().or(own),
            require_existing: store.require_existing,
            tokens: store.dir.clone(),
        }
    }
}
