//! User claims, and the template for users that a scoped signing key has. A server of account JWTs only needs to know
//! whether they can be read; the command `explain` also judges them.

use super::super::json::Value;
use super::super::read::{Faults, FromJson, members};
use super::Permissions;
use super::registered::Common;

/// A user's permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserTemplate {
    /// Subjects.
    pub permissions: Permissions,
    /// Addresses that a user may connect from, in CIDR notation.
    pub src: Networks,
    /// Times of day at which a user may connect.
    pub times: Vec<TimeRange>,
    /// The time zone of [`Self::times`].
    pub times_location: String,
    /// Subscriptions.
    pub subs: i64,
    /// Bytes.
    pub data: i64,
    /// Bytes of one message.
    pub payload: i64,
    /// Whether the JWT alone authenticates.
    pub bearer_token: bool,
    /// Whether users must come through a proxy.
    pub proxy_required: bool,
    /// Kinds of connections; empty: all.
    pub allowed_connection_types: Vec<String>,
}

/// The body of a user JWT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user's permissions.
    pub template: UserTemplate,
    /// The account, if a signing key of it issued the JWT.
    pub issuer_account: String,
    /// Tags, kind and version.
    pub common: Common,
}

/// A list of networks; the old spelling is one text with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<String>);

impl FromJson for Networks {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        let mut inner = Faults::default();
        self.0.clear();
        match value {
            Value::String(text) => {
                for network in text.to_lowercase().split(',').map(str::trim).filter(|network| !network.is_empty()) {
                    if !self.0.iter().any(|known| known == network) {
                        self.0.push(network.to_owned());
                    }
                }
            }
            other => self.0.read(other, &mut inner),
        }
        if inner.into_result().is_err() {
            let error = faults.describe(value, "list of networks");
            faults.abort(error);
        }
    }
}

/// A range of times of day, `HH:MM:SS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// From.
    pub start: String,
    /// Until.
    pub end: String,
}

members!(TimeRange { "start" => start, "end" => end });

impl TimeRange {
    /// From and until, in seconds after midnight. `None`: one of them is no time of day.
    pub fn seconds(&self) -> Option<(u32, u32)> {
        Some((time_of_day(&self.start)?, time_of_day(&self.end)?))
    }
}

/// Seconds after midnight of a text that Go's `time.Parse` accepts as `15:04:05`: the hour may have one digit, and the second a
/// fraction, which is dropped.
fn time_of_day(text: &str) -> Option<u32> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (second, fraction) = second.split_once(['.', ',']).unwrap_or((second, "0"));
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>, end: u32| {
        let is_one = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number: &u32| is_one && *number < end)
    };
    let is_whole = parts.next().is_none() && !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let (hour, minute, second) = (number(hour, 1..=2, 24)?, number(minute, 2..=2, 60)?, number(second, 2..=2, 60)?);
    is_whole.then_some((hour * 60 + minute) * 60 + second)
}

members!(UserTemplate {
    "pub" => permissions.publish,
    "sub" => permissions.subscribe,
    "resp" => permissions.response,
    "src" => src,
    "times" => times,
    "times_location" => times_location,
    "subs" => subs,
    "data" => data,
    "payload" => payload,
    "bearer_token" => bearer_token,
    "proxy_required" => proxy_required,
    "allowed_connection_types" => allowed_connection_types,
});

members!(User {
    "pub" => template.permissions.publish,
    "sub" => template.permissions.subscribe,
    "resp" => template.permissions.response,
    "src" => template.src,
    "times" => template.times,
    "times_location" => template.times_location,
    "subs" => template.subs,
    "data" => template.data,
    "payload" => template.payload,
    "bearer_token" => template.bearer_token,
    "proxy_required" => template.proxy_required,
    "allowed_connection_types" => template.allowed_connection_types,
    "issuer_account" => issuer_account,
    "tags" => common.tags,
    "type" => common.kind,
    "version" => common.version,
});

/// The body of a version 1 user JWT.
#[derive(Debug)]
pub(in super::super) struct UserV1 {
    template: UserTemplate,
    max: i64,
}

impl Default for UserV1 {
    fn default() -> Self {
        let template = UserTemplate { subs: -1, data: -1, payload: -1, ..UserTemplate::default() };
        Self { template, max: -1 }
    }
}

members!(UserV1 {
    "pub" => template.permissions.publish,
    "sub" => template.permissions.subscribe,
    "resp" => template.permissions.response,
    "src" => template.src,
    "times" => template.times,
    "times_location" => template.times_location,
    "subs" => template.subs,
    "data" => template.data,
    "payload" => template.payload,
    "bearer_token" => template.bearer_token,
    "max" => max,
});

impl UserV1 {
    /// The same user in today's form.
    pub(in super::super) fn migrate(self, issuer_account: String, common: Common) -> User {
        User { template: self.template, issuer_account, common }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_what_go_takes_for_one() {
        for (text, seconds) in [
            ("00:00:00", Some(0)),
            ("8:05:09", Some(29_109)),
            ("23:59:59", Some(86_399)),
            ("12:00:00.250", Some(43_200)),
            ("12:00:00,5", Some(43_200)),
            ("24:00:00", None),
            ("12:60:00", None),
            ("12:00:60", None),
            ("12:0:00", None),
            ("12:00", None),
            ("12:00:00:00", None),
            ("12:00:00.", None),
            ("+1:00:00", None),
            ("", None),
        ] {
            assert_eq!(time_of_day(text), seconds, "{text}");
        }
    }
}
