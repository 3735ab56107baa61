//! Fills the variables in the subjects of a scope, as a nats-server does for each user: `{{name()}}`, `{{subject()}}`,
//! `{{account-name()}}`, `{{account-subject()}}`, `{{tag(KEY)}}` and `{{account-tag(KEY)}}`, each alone between two dots.
//!
//! A tag with several values makes several subjects. A subject that is not valid afterwards is left out of what is allowed, and
//! refuses the user among what is denied.

use crate::jwt::claims::{Permission, UserTemplate};
use crate::jwt::{AccountJwt, UserJwt};

/// Subjects that one subject of a scope may become. nats-server has no bound.
const MOST: usize = 1000;

/// The scope of this user, and the denied subject for which it is refused, if there is one.
pub(super) fn fill(scope: &UserTemplate, user: &UserJwt, account: &AccountJwt) -> (UserTemplate, Option<String>) {
    let (mut filled, values) = (scope.clone(), Values { user, account });
    let mut refused = None;
    for permission in [&mut filled.permissions.subscribe, &mut filled.permissions.publish] {
        refused = refused.or_else(|| values.fill(permission));
    }
    (filled, refused)
}

struct Values<'v> {
    user: &'v UserJwt,
    account: &'v AccountJwt,
}

impl Values<'_> {
    fn fill(&self, permission: &mut Permission) -> Option<String> {
        let had_some = !permission.allow.is_empty();
        permission.allow = self.list(&permission.allow).into_iter().filter_map(Result::ok).collect();
        if had_some && permission.allow.is_empty() {
            permission.deny.push(">".to_owned());
        }
        let mut refused = None;
        let denied = self.list(&permission.deny).into_iter();
        permission.deny = denied.filter_map(|subject| subject.map_err(|bad| refused = Some(bad)).ok()).collect();
        refused
    }

    /// The subjects of a list. `Err`: one that is not valid, as the scope has it. A list without variables stays as it is.
    fn list(&self, list: &[String]) -> Vec<Result<String, String>> {
        if !list.iter().any(|subject| subject.split('.').any(is_variable)) {
            return list.iter().cloned().map(Ok).collect();
        }
        list.iter().flat_map(|subject| self.subjects(subject)).collect()
    }

    fn subjects(&self, subject: &str) -> Vec<Result<String, String>> {
        let mut made: Vec<Vec<String>> = vec![Vec::new()];
        for token in subject.split('.') {
            let values = if is_variable(token) { self.values(token) } else { vec![token.to_owned()] };
            made = made
                .iter()
                .flat_map(|start| values.iter().map(move |value| [&start[..], std::slice::from_ref(value)].concat()))
                .take(MOST)
                .collect();
        }
        let check = |tokens: Vec<String>| {
            let made = tokens.join(".");
            if is_valid(&made) { Ok(made) } else { Err(subject.to_owned()) }
        };
        made.into_iter().map(check).collect()
    }

    /// What a variable stands for. An empty text makes the subject invalid.
    fn values(&self, token: &str) -> Vec<String> {
        let name = token[2..token.len() - 2].to_lowercase();
        let tag = |prefix: &str, tags: &[String]| {
            let key = name.strip_prefix(prefix)?.strip_suffix(')')?;
            let values = tags.iter().filter_map(|tag| tag.strip_prefix(key)?.strip_prefix(':').map(str::to_owned));
            Some(values.collect::<Vec<_>>()).filter(|values| !values.is_empty())
        };
        let (user, account) = (self.user, self.account);
        match &*name {
            "name()" => vec![user.claims.name.clone()],
            "subject()" => vec![user.claims.sub.clone()],
            "account-name()" => vec![account.claims.name.clone()],
            "account-subject()" => vec![user.body.issuer_account.clone()],
            _ => tag("tag(", &user.body.common.tags)
                .or_else(|| tag("account-tag(", &account.body.common.tags))
                .unwrap_or_else(|| vec![String::new()]),
        }
    }
}

fn is_variable(token: &str) -> bool {
    token.len() >= 4 && token.starts_with("{{") && token.ends_with("}}")
}

/// Whether nats-server takes a text for a subject: no empty token, no white space, and `>` only at the end.
fn is_valid(subject: &str) -> bool {
    let tokens: Vec<_> = subject.split('.').collect();
    let last = tokens.len() - 1;
    let is_sound = |(at, token): (usize, &&str)| !token.is_empty() && (*token != ">" || at == last);
    !subject.contains([' ', '\t', '\n', '\r', '\x0c']) && tokens.iter().enumerate().all(is_sound)
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;
    use serde_json::json;

    use super::*;
    use crate::testkit::{self, sign, with};

    fn filled(allow: &[&str], deny: &[&str]) -> (Permission, Option<String>) {
        let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
        let of_user = json!({ "name": "alice", "nats": { "tags": ["team:red", "team:blue"] } });
        let user = UserJwt::decode(&sign(&with(testkit::user(&user, 1), of_user), &account)).expect("a user");
        let of_account = json!({ "name": "app", "nats": { "tags": ["zone:eu"] } });
        let account =
            AccountJwt::decode(&sign(&with(testkit::account(&account, 1), of_account), &operator)).expect("an account");
        let mut scope = UserTemplate::default();
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        (scope.permissions.publish.allow, scope.permissions.publish.deny) = (texts(allow), texts(deny));
        let (filled, refused) = fill(&scope, &user, &account);
        (filled.permissions.publish, refused)
    }

    #[test]
    fn variables_are_filled_for_the_user() {
        for (allow, made) in [
            (&["a.>"][..], &["a.>"][..]),
            (&["{{name()}}.in", "b"], &["alice.in", "b"]),
            (&["{{Account-Name()}}.{{tag(team)}}.x"], &["app.red.x", "app.blue.x"]),
            (&["{{account-tag(zone)}}.>"], &["eu.>"]),
            (&["{{tag(none)}}.x", "b"], &["b"]),
            (&["{{what()}}.x", "b"], &["b"]),
            // It is no variable, because it is not alone between dots.
            (&["x{{name()}}"], &["x{{name()}}"]),
        ] {
            assert_eq!(
                filled(allow, &[]),
                (Permission { allow: made.iter().map(ToString::to_string).collect(), deny: vec![] }, None)
            );
        }
    }

    #[test]
    fn what_becomes_of_invalid_subjects_depends_on_the_side() {
        let (permission, refused) = filled(&["{{tag(none)}}.x"], &[]);
        assert_eq!((permission.allow.len(), permission.deny, refused), (0, vec![">".to_owned()], None));
        let (_, refused) = filled(&[], &["{{tag(none)}}.x"]);
        assert_eq!(refused.as_deref(), Some("{{tag(none)}}.x"));
    }
}
