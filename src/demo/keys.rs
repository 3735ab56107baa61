//! The keys on disk: credentials, a folder for nsc, and the operator's JWT, which is written last. Where it is, everything is.

use super::error::DemoError;
use super::folder::Folder;
use super::mint::{Cast, Version};
use super::nsc;
use super::ports::Ports;

/// The operator's JWT.
pub(super) const OPERATOR: &str = "operator.jwt";
/// The system account's JWT, which a primary needs before nats-servers start.
const SYSTEM: &str = "system.jwt";

/// Writes the keys, the credentials of each user, and the operator's JWT.
pub(super) fn write(folder: &Folder, cast: &Cast, ports: Ports) -> Result<(), DemoError> {
    let operator = cast.operator_jwt(&format!("{}/jwt/v1", ports.primary_url()), &ports.nats_url());
    for (user, account) in cast.users() {
        folder.write(&format!("{}.creds", user.name), &cast.creds(user, account))?;
    }
    nsc::write(folder, cast, &operator)?;
    folder.write(OPERATOR, &operator).map(drop)
}

/// Writes the first JWT of each account to the folder for nsc, and that of the system account next to the credentials.
pub(super) fn write_accounts(folder: &Folder, cast: &Cast) -> Result<(), DemoError> {
    for account in [&cast.system, &cast.app, &cast.billing] {
        nsc::account(folder, cast, account, &cast.account_jwt(account, Version::default()))?;
    }
    folder.write(SYSTEM, &cast.account_jwt(&cast.system, Version::default())).map(drop)
}
