//! A folder for nsc: the same keys and JWTs in nsc's own layout, so that `nsc -H <folder>` works on the demo and leaves
//! alone what else nsc knows.

use serde_json::json;

use super::error::DemoError;
use super::folder::Folder;
use super::mint::{Cast, Named};
use crate::testkit;

/// The folder's name. nsc keeps everything below one folder when it is run with `-H`.
pub(super) const DIR: &str = "nsc";

/// Writes operator, users and keys. The accounts follow with [`account`].
pub(super) fn write(folder: &Folder, cast: &Cast, operator_jwt: &str) -> Result<(), DemoError> {
    let operator = cast.operator.name;
    let config =
        json!({ "store_root": folder.path(DIR).display().to_string(), "operator": operator, "account": cast.app.name });
    folder.write(&format!("{DIR}/nsc.json"), &config.to_string())?;
    let store = json!({ "managed": false, "name": operator, "kind": "operator", "version": "1" });
    folder.write(&format!("{DIR}/{operator}/.nsc"), &store.to_string())?;
    folder.write(&format!("{DIR}/{operator}/{operator}.jwt"), operator_jwt)?;
    for (user, account) in cast.users() {
        let path = format!("{DIR}/{operator}/accounts/{}/users/{}.jwt", account.name, user.name);
        folder.write(&path, &cast.user_jwt(user, account))?;
        key(folder, user)?;
    }
    for named in [&cast.operator, &cast.signing, &cast.system, &cast.app, &cast.billing] {
        key(folder, named)?;
    }
    Ok(())
}

/// Writes the JWT of an account, which nsc edits from then on.
pub(super) fn account(folder: &Folder, cast: &Cast, account: &Named, token: &str) -> Result<(), DemoError> {
    let path = format!("{DIR}/{}/accounts/{name}/{name}.jwt", cast.operator.name, name = account.name);
    folder.write(&path, token).map(drop)
}

/// nsc looks for the seed of `OABC…` in `keys/O/AB/OABC….nk`.
fn key(folder: &Folder, named: &Named) -> Result<(), DemoError> {
    let id = named.id();
    folder.write(&format!("{DIR}/keys/{}/{}/{id}.nk", &id[..1], &id[1..3]), &testkit::seed(&named.keys)).map(drop)
}
