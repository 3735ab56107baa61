//! Everything that accounts can be imported from, with the same accounts in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::file;
use super::imports::{Case, World};
use crate::support::{NatsLaunch, NatsServer, Server};

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Flat,
    Sharded,
    Nsc,
    Pack,
    Url,
    FullResolver,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [Self::Flat, Self::Sharded, Self::Nsc, Self::Pack, Self::Url, Self::FullResolver];

    /// Whether such a source can have an account in this state. Packs of servers leave out what has expired, and account
    /// servers hold nothing foreign.
    pub(crate) fn holds(self, what: &str) -> bool {
        match self {
            Self::Url => !matches!(what, "expired" | "foreign" | "ahead"),
            Self::FullResolver => what != "expired",
            _ => true,
        }
    }

    /// Whether it tells which accounts were deleted.
    pub(crate) const fn has_graves(self) -> bool {
        matches!(self, Self::Flat | Self::Sharded)
    }

    /// Accounts that are in it as well: nats-servers hold the system account.
    pub(crate) fn beside(self) -> u64 {
        u64::from(self == Self::FullResolver)
    }

    pub(crate) async fn make(self, world: &World) -> Source {
        let dir = tempfile::tempdir().unwrap();
        let (root, cases) = (dir.path().to_owned(), world.cases.iter().filter(|case| self.holds(case.what)));
        let mut source =
            Source { args: vec![root.to_str().unwrap().to_owned()], _dir: dir, _server: None, _nats: None };
        match self {
            Self::Flat => {
                cases.for_each(|case| fs::write(file(&root, &case.account), &case.offered).unwrap());
                grave(&file(&root, &world.buried.0), &world.buried.1);
            }
            Self::Sharded => {
                for case in cases {
                    fs::write(shard(&root, &case.account.key()), &case.offered).unwrap();
                }
                grave(&shard(&root, &world.buried.0.key()), &world.buried.1);
            }
            Self::Nsc => {
                fs::write(root.join(".nsc"), r#"{"managed": false, "name": "O", "kind": "operator"}"#).unwrap();
                for Case { what, offered, .. } in cases {
                    fs::create_dir_all(root.join("accounts").join(what)).unwrap();
                    fs::write(root.join(format!("accounts/{what}/{what}.jwt")), offered).unwrap();
                }
            }
            Self::Pack => {
                let lines: Vec<_> = cases.map(|case| format!("{}|{}", case.account.key(), case.offered)).collect();
                fs::write(root.join("pack"), lines.join("\n")).unwrap();
                source.args = vec![root.join("pack").to_str().unwrap().to_owned()];
            }
            Self::Url => {
                let server = Server::primary(&world.operator).await;
                for case in cases {
                    server.http.post(&case.account.path(), case.offered.clone()).await.expect(200);
                }
                source.args = vec![server.url.clone()];
                source._server = Some(server);
            }
            Self::FullResolver => {
                cases.for_each(|case| fs::write(file(&root, &case.account), &case.offered).unwrap());
                let system = world.operator.system();
                let lines = format!(
                    "resolver: {{ type: full, dir: {root:?} }}\nresolver_preload: {{ {}: {} }}",
                    system.key(),
                    world.operator.account(system, 90_000)
                );
                let creds = root.join("sys.creds");
                fs::write(&creds, system.user().creds()).unwrap();
                let server = NatsLaunch::new("2.12.8", &world.operator).with(&lines).start().await;
                let url = format!("nats://{}", server.address());
                source.args = vec!["-creds".to_owned(), creds.to_str().unwrap().to_owned(), url];
                source._nats = Some(server);
            }
        }
        source
    }
}

/// Something to import from, for as long as it lives.
pub(crate) struct Source {
    args: Vec<String>,
    _dir: tempfile::TempDir,
    _server: Option<Server>,
    _nats: Option<NatsServer>,
}

impl Source {
    /// How it is named on the command line.
    pub(crate) fn args(&self) -> Vec<String> {
        self.args.clone()
    }
}

fn shard(root: &Path, key: &str) -> PathBuf {
    let folder = root.join(&key[54..]);
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{key}.jwt"))
}

fn grave(path: &Path, token: &str) {
    fs::write(format!("{}.deleted", path.display()), token).unwrap();
}
