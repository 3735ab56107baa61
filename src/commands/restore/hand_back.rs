//! `restore --from`: what a replica holds newer than its primary, sent to the primary.
//!
//! A primary that was restored from a backup lacks what was pushed since, and its replicas have it. Everything goes through the
//! primary's own gate and order, as if it were pushed, so the replica need not be trusted.

use std::collections::HashSet;

use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};

use super::super::findings::Findings;
use super::super::{Exit, say};
use crate::config::Settings;
use crate::feed::wire::{Ahead, AheadPage};
use crate::key::AccountKey;
use crate::upstream::remote::{RemoteServer, text, words};
use crate::upstream::{Access, body};

/// The largest page that a replica gives, in bytes: about 1 MiB of text, the largest request behind that, and JSON around them.
const PAGE: usize = 4 << 20;

/// What `restore --from` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HandBackArgs {
    /// A replica that runs: what it holds newer than its primary is handed back
    #[arg(long, value_name = "URL")]
    pub(super) from: Option<String>,
    /// The primary, unless the replica names it
    #[arg(long, value_name = "URL", requires = "from")]
    to: Option<String>,
    /// Say what would be handed back, and send nothing
    #[arg(long, requires = "from")]
    dry_run: bool,
}

/// What became of what was handed back.
struct HandBackReport {
    back: u64,
    same: u64,
    refused: Findings,
    missing: Findings,
}

/// What an answer means.
enum HandBackFate {
    Back,
    Same,
    Refused(String),
}

/// Hands back. 0: all of it is at the primary; 1: something was refused, or is not at hand.
pub(super) async fn run(settings: &Settings, from: &str, args: &HandBackArgs) -> Result<(), Exit> {
    let access = Access::of_command(settings);
    let replica = RemoteServer::new(from, "--from", &access)?;
    let (mut after, mut last) = (String::new(), None);
    let mut back = None;
    loop {
        let page = page(&replica, &after).await?;
        let back = match &mut back {
            Some(back) => back,
            none => {
                let primary = match &args.to {
                    Some(to) => to,
                    None if access.shows_something() && !is_configured(&page.primary, settings) => {
                        return Err(format!(
                            "name the primary with --to: the token and the certificate of these settings are not \
                             sent to {}, which only the replica names",
                            shown(&page.primary)
                        )
                        .into());
                    }
                    None => &page.primary,
                };
                none.insert(HandBack::new(primary, &access, args.dry_run)?)
            }
        };
        for account in &page.accounts {
            back.account(account).await?;
        }
        match page.next {
            // They come in the order of their keys, so there is an end.
            Some(next) if key_of(&next)? <= last => {
                return Err(format!("the pages of {} do not end", replica.shown()).into());
            }
            Some(next) => (last, after) = (key_of(&next)?, next),
            None => return back.end(&replica),
        }
    }
}

/// Whether the settings name a server as a primary.
fn is_configured(url: &str, settings: &Settings) -> bool {
    let origin = |url: &str| reqwest::Url::parse(url).ok().map(|url| url.origin());
    origin(url).is_some_and(|named| settings.primary.iter().any(|primary| origin(primary).as_ref() == Some(&named)))
}

/// A URL as a server gave it, for people.
fn shown(url: &str) -> String {
    url.chars().filter(|symbol| !symbol.is_control()).take(256).collect()
}

/// The account after which a page begins, by its raw key.
fn key_of(text: &str) -> Result<Option<[u8; 32]>, String> {
    let key = AccountKey::parse(text).map_err(|error| format!("a page begins after what is no account: {error}"))?;
    Ok(Some(*key.raw()))
}

async fn page(replica: &RemoteServer, after: &str) -> Result<AheadPage, String> {
    let url = replica.url(&format!("ahead?after={after}"));
    let reply = replica.send(|client| client.get(&url)).await?;
    match reply.status() {
        StatusCode::OK => {}
        status => return Err(format!("{} says {status}: {}", replica.shown(), words(reply).await)),
    }
    serde_json::from_str(&text(reply, PAGE).await?)
        .map_err(|error| format!("the answer of {} cannot be read: {error}", replica.shown()))
}

struct HandBack {
    primary: RemoteServer,
    dry_run: bool,
    /// SHA-256 of the delete requests that were sent: one is about many accounts.
    sent: HashSet<[u8; 32]>,
    report: HandBackReport,
}

impl HandBack {
    fn new(url: &str, access: &Access, dry_run: bool) -> Result<Self, String> {
        let report = HandBackReport {
            back: 0,
            same: 0,
            refused: Findings::of("rejected"),
            missing: Findings::of("not at hand at the replica, though it has seen them: ask another one"),
        };
        Ok(Self { primary: RemoteServer::new(url, "--to", access)?, dry_run, sent: HashSet::new(), report })
    }

    async fn account(&mut self, Ahead { key, jwt, request }: &Ahead) -> Result<(), String> {
        let fate = match (jwt, request) {
            (Some(jwt), _) => self.jwt(key, jwt).await?,
            (None, Some(request)) => self.deletion(key, request).await?,
            (None, None) => {
                self.report.missing.add(key.clone());
                return Ok(());
            }
        };
        match fate {
            HandBackFate::Back => self.report.back += 1,
            HandBackFate::Same => self.report.same += 1,
            HandBackFate::Refused(why) => self.report.refused.add(format!("{key}: {why}")),
        }
        Ok(())
    }

    async fn jwt(&self, key: &str, jwt: &str) -> Result<HandBackFate, String> {
        let url = self.primary.url(&format!("accounts/{key}"));
        let held = self.primary.send(|client| client.get(&url)).await?;
        if held.status() == StatusCode::OK && text(held, body::TOKEN).await? == jwt {
            return Ok(HandBackFate::Same);
        }
        if self.dry_run {
            return Ok(HandBackFate::Back);
        }
        self.fate(self.primary.send(|client| client.post(&url).body(jwt.to_owned())).await?).await
    }

    async fn deletion(&mut self, key: &str, request: &str) -> Result<HandBackFate, String> {
        if !self.sent.insert(Sha256::digest(request).into()) || self.dry_run {
            return Ok(HandBackFate::Back);
        }
        let url = self.primary.url(&format!("accounts/{key}"));
        self.fate(self.primary.send(|client| client.delete(&url).body(request.to_owned())).await?).await
    }

    async fn fate(&self, reply: reqwest::Response) -> Result<HandBackFate, String> {
        let status = reply.status();
        if status == StatusCode::OK {
            return Ok(HandBackFate::Back);
        }
        let why = words(reply).await;
        match status {
            StatusCode::CONFLICT | StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::PAYLOAD_TOO_LARGE => {
                Ok(HandBackFate::Refused(why))
            }
            // What it says of this one it would say of every other.
            status => Err(format!("{} says {status}: {why}", self.primary.shown())),
        }
    }

    fn end(&self, replica: &RemoteServer) -> Result<(), Exit> {
        let HandBackReport { back, same, refused, missing } = &self.report;
        let verb = if self.dry_run { "would be handed back" } else { "handed back" };
        say(&format!("from {} to {}:", replica.shown(), self.primary.shown()));
        say(&format!("{back:>9}  {verb}"));
        say(&format!("{same:>9}  there already"));
        for findings in [refused, missing] {
            if !findings.is_empty() {
                // Nobody to tell, if standard output is closed.
                let _ = findings.write(&mut std::io::stdout());
            }
        }
        Exit::unless(refused.is_empty() && missing.is_empty())
    }
}
