//! What a nats-server checks when a user connects, in its order.
//!
//! All checks are made, also after one that fails, so that a person sees every reason at once. Everything here is pure: time
//! and address of the client are arguments.

mod account;
mod limits;
mod restrictions;
mod scope;
mod template;
mod times;
mod user;

use super::client::Client;
use super::names::Names;
use crate::commands::checks::{Check, Status, Verdict};
use crate::gate::Trust;
use crate::jwt::claims::UserTemplate;
use crate::jwt::{AccountJwt, UserJwt};

pub(super) use account::AccountState;

/// What all checks came to.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) checks: Vec<Check>,
    pub(super) verdict: Verdict,
    /// The account, if there is a JWT of it that can be read.
    pub(super) account: Option<AccountJwt>,
    /// The permissions and limits that count: the user's own, or those of the scope of its signing key.
    pub(super) template: UserTemplate,
}

impl Judgement {
    /// The check that decides against the user, or the one that leaves the verdict open.
    pub(super) fn decisive(&self) -> Option<&Check> {
        let wanted = match self.verdict {
            Verdict::Accepted => return None,
            Verdict::Refused => Status::Fail,
            Verdict::Unsure => Status::Unknown,
        };
        self.checks.iter().find(|check| check.status == wanted)
    }
}

/// Judges a user JWT of `size` bytes by the state of its account, as an operator's nats-server does.
pub(super) fn judge(
    user: &UserJwt,
    size: usize,
    state: &AccountState,
    operator: Option<&Trust>,
    client: &Client,
) -> Judgement {
    let account = state.jwt();
    let names = Names::of(user, account.as_ref());
    let mut checks = user::checks(user, size, &names, client.now);
    checks.extend(account::checks(user, state, operator, &names, client.now));
    // Up to here, no authorization service is asked.
    let comes_before = Verdict::of(&checks);
    let Some(jwt) = &account else {
        let template = user.body.template.clone();
        return Judgement { verdict: comes_before, checks, account, template };
    };
    let (template, of_signer) = scope::checks(user, jwt, operator.is_some_and(Trust::is_strict), &names);
    checks.extend(of_signer);
    checks.extend(restrictions::checks(user, jwt, &template, &names, client));
    checks.extend(limits::checks(jwt, &names, client));
    let service = scope::authorization_service(user, jwt);
    let verdict = match (&service, Verdict::of(&checks)) {
        (Some(_), _) if comes_before != Verdict::Refused => Verdict::Unsure,
        (_, verdict) => verdict,
    };
    checks.extend(service);
    Judgement { checks, verdict, account, template }
}
