//! What a replica holds newer than its primary.

use super::{Node, Role};
use crate::key::AccountKey;
use crate::replica::AheadPage;
use crate::store::StoreError;

impl Node {
    /// A piece of what is newer here than at the primary, after an account, and that primary's URL. `None`: this is no
    /// replica.
    pub async fn ahead(&self, after: Option<AccountKey>) -> Result<Option<(AheadPage, String)>, StoreError> {
        let Role::Replica(replica) = self.role() else { return Ok(None) };
        let (asked, primary) = (replica.clone(), replica.public_url().to_owned());
        let page = tokio::task::spawn_blocking(move || asked.ahead_page(after.as_ref())).await;
        page.map(|page| Some((page, primary))).map_err(|_| StoreError::Closed)
    }
}
