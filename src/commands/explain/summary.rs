//! What an accepted user may do: its permissions, and the limits of it and its account.

use serde::Serialize;

use super::judge::Judgement;
use crate::commands::limits::{count, responses, subjects};
use crate::jwt::AccountJwt;
use crate::jwt::claims::{Permission, Permissions};

/// Permissions and limits. Of limits, -1 is unlimited.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// `user`, `scope` or `account_defaults`.
    permissions_from: &'static str,
    publish: Side,
    subscribe: Side,
    /// How many messages, and for how many nanoseconds the user may send to the reply subjects of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<(i64, i64)>,
    user_limits: UserLimits,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_limits: Option<AccountLimits>,
}

#[derive(Debug, Serialize)]
struct Side {
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Debug, Serialize)]
struct UserLimits {
    subscriptions: i64,
    data: i64,
    payload: i64,
}

#[derive(Debug, Serialize)]
struct AccountLimits {
    connections: i64,
    leafnode_connections: i64,
    subscriptions: i64,
    data: i64,
    payload: i64,
}

impl Summary {
    /// `scoped`: a scoped signing key issued the user.
    pub(super) fn of(judgement: &Judgement, scoped: bool) -> Self {
        let (template, account) = (&judgement.template, judgement.account.as_ref());
        // nats-server falls back on the account's default only if the user has no permissions at all.
        let defaults = account
            .map(|account| &account.body.default_permissions)
            .filter(|_| template.permissions == Permissions::default());
        let permissions = defaults.unwrap_or(&template.permissions);
        Self {
            permissions_from: match (defaults, scoped) {
                (Some(_), _) => "account_defaults",
                (None, true) => "scope",
                (None, false) => "user",
            },
            publish: Side::of(&permissions.publish),
            subscribe: Side::of(&permissions.subscribe),
            responses: permissions.response.as_ref().map(|response| (response.max, response.ttl)),
            user_limits: UserLimits { subscriptions: template.subs, data: template.data, payload: template.payload },
            account_limits: account.map(AccountLimits::of),
        }
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let from = match self.permissions_from {
            "account_defaults" => " (the account's defaults)",
            "scope" => " (of the scope)",
            _ => "",
        };
        let user = &self.user_limits;
        let mut lines = vec![
            format!("publish{from}: {}", self.publish.shown()),
            format!("subscribe{from}: {}", self.subscribe.shown()),
        ];
        if let Some((max, ttl)) = self.responses {
            lines.push(format!("respond to requests: {}", responses(max, ttl)));
        }
        lines.push(format!(
            "limits of the user: subscriptions {}, data {}, payload {}",
            count(user.subscriptions),
            count(user.data),
            count(user.payload)
        ));
        if let Some(account) = &self.account_limits {
            lines.push(format!(
                "limits of the account: connections {}, leafnode connections {}, subscriptions {}, data {}, payload {}",
                count(account.connections),
                count(account.leafnode_connections),
                count(account.subscriptions),
                count(account.data),
                count(account.payload)
            ));
        }
        lines
    }
}

impl Side {
    fn of(permission: &Permission) -> Self {
        Self { allow: permission.allow.clone(), deny: permission.deny.clone() }
    }

    fn shown(&self) -> String {
        subjects(&self.allow, &self.deny)
    }
}

impl AccountLimits {
    fn of(account: &AccountJwt) -> Self {
        let limits = &account.body.limits;
        Self {
            connections: limits.conn,
            leafnode_connections: limits.leaf,
            subscriptions: limits.subs,
            data: limits.data,
            payload: limits.payload,
        }
    }
}
