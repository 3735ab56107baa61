//! The command line.
//!
//! The first servers were written in Go. There a flag takes one dash or two, a value is the next argument or follows `=`,
//! and a boolean takes `=false`. Unit files and charts contain such command lines, so they keep working: `go_style`
//! rewrites them for clap.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

use super::access::AccessArgs;
use super::audit::AuditArgs;
use super::backup::BackupArgs;
use super::check::CheckArgs;
use super::completions::CompletionsArgs;
use super::config::ConfigArgs;
use super::delete_request::DeleteRequestArgs;
use super::demo::DemoArgs;
use super::exit::Exit;
use super::explain::ExplainArgs;
use super::export::ExportArgs;
use super::flush::FlushArgs;
use super::healthcheck::HealthcheckArgs;
use super::import::ImportArgs;
use super::init::InitArgs;
use super::list::ListArgs;
use super::man::ManArgs;
use super::operator::OperatorArgs;
use super::promote::PromoteArgs;
use super::restore::RestoreArgs;
use super::show::ShowArgs;
use super::status::StatusArgs;
use crate::config::Overrides;

mod go_style;
mod hostport;
mod private;

/// A command line that was understood.
#[derive(Clone, Debug, Default)]
pub struct Cli {
    /// What it says about settings.
    pub overrides: Overrides,
    /// What to do; `None` is to serve.
    pub command: Option<Command>,
    /// Whether to log the settings at start (`-dump`).
    pub dump: bool,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the server; the same as no command
    Serve,
    /// Make the configuration of a first server, and check it
    Init(InitArgs),
    /// Judge JWTs as the server would, without a server
    Check(CheckArgs),
    /// Tell why nats-servers accept or refuse a user
    Explain(ExplainArgs),
    /// List accounts by name, state, expiry and change
    List(ListArgs),
    /// Show all that is known of an account, or what changed
    Show(ShowArgs),
    /// Ask a server whether it serves, for containers and scripts
    Healthcheck(HealthcheckArgs),
    /// Show how account servers, replicas and nats-servers are, once or all the time
    Status(StatusArgs),
    /// Sign a request to delete accounts, offline
    DeleteRequest(DeleteRequestArgs),
    /// Wait until every acknowledged change is in the token folder, on disk
    Flush(FlushArgs),
    /// Import the accounts of a folder, an nsc store, a pack or a full resolver
    Import(ImportArgs),
    /// Write the accounts to a folder, an nsc store or a pack
    Export(ExportArgs),
    /// Copy the whole state to a file, even while the server runs
    Backup(BackupArgs),
    /// Restore a backup on a stopped server, or push to a primary what a replica has newer
    Restore(RestoreArgs),
    /// Turn the folder of a stopped mirror into the folder of a primary
    Promote(PromoteArgs),
    /// Try it out: throw-away keys, a primary, a replica and a real nats-server in a new folder
    Demo(DemoArgs),
    /// Set the operator's JWT by hand, with the server stopped
    Operator(OperatorArgs),
    /// Verify an audit log
    Audit(AuditArgs),
    /// Make hashes of passwords, and tokens, for the settings of access
    Access(AccessArgs),
    /// Print the effective configuration as a JSON configuration file
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

/// Reads a command line, the name of the program first.
pub fn parse(args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Cli, Exit> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    // First of all, because errors about arguments repeat the arguments.
    if let Some(place) = private::found(&args) {
        return Err(place.into());
    }
    let definition = definition();
    let args = go_style::rewrite(args.into_iter(), &definition).map_err(|text| Exit::error(2, text))?;
    let matches = definition.try_get_matches_from(args).and_then(|found| Flags::from_arg_matches(&found));
    let flags = matches.map_err(|error| Exit {
        code: if error.use_stderr() { 2 } else { 0 },
        text: go_style::one_dash(&error.to_string()),
        to_stderr: error.use_stderr(),
    })?;
    flags.into_cli(home())
}

/// All flags and commands, for completions and manual pages.
pub(crate) fn definition() -> clap::Command {
    Flags::command()
}

impl AsRef<Overrides> for Cli {
    fn as_ref(&self) -> &Overrides {
        &self.overrides
    }
}

const ABOUT: &str = "Hosts NATS account JWTs for nats-servers in operator mode";

const AFTER_HELP: &str = "\
Flags take one dash or two, before or after a command. A value follows a blank
or a `=`. `=false` switches an on-off flag off.
A flag overrides the environment, and the environment overrides the file. Every
key of the file is also an environment variable: http.port is NAS_HTTP__PORT.
Exit status: 0 after help and after a stop by a signal, 1 if the server cannot
start, 2 if the command line is wrong.

Examples:
  See what it does:
    nats-account-server demo

  Serve a folder of JWTs that one operator signed:
    nats-account-server -dir /var/lib/nas -operator operator.jwt \\
        -hp 0.0.0.0:9090

  The same, and announce every change to the nats-servers:
    nats-account-server -dir /var/lib/nas -operator operator.jwt \\
        -nats nats://n1:4222,nats://n2:4222 -creds sys.creds

  A replica:
    nats-account-server -operator operator.jwt \\
        -primary https://accounts.example.com

  Check a JWT without a server:
    nats-account-server check account.jwt

  Print the effective configuration, without a server:
    nats-account-server config -c nats-account-server.conf";

/// The flags as clap knows them.
#[derive(Debug, Parser)]
#[command(
    name = "nats-account-server",
    version,
    about = ABOUT,
    after_help = AFTER_HELP,
    disable_version_flag = true,
    max_term_width = 80
)]
struct Flags {
    /// Configuration file: .toml, .yaml, .json, or else the NATS configuration language
    #[arg(short = 'c', long = "config", value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<String>,
    /// Folder of tokens; without one everything is in memory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<String>,
    /// The operator: a file with its JWT, or the JWT itself
    #[arg(long, value_name = "FILE|JWT", value_hint = ValueHint::FilePath)]
    operator: Option<String>,
    /// Identity key of another operator, which replaces the operator of the store
    #[arg(long, value_name = "KEY")]
    change_operator: Option<String>,
    /// NATS servers, separated by commas
    #[arg(long, value_name = "URLS")]
    nats: Option<String>,
    /// Credentials file of a system-account user
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    creds: Option<String>,
    /// Be a replica of the server at this URL
    #[arg(long, value_name = "URL")]
    primary: Option<String>,
    /// File with a token that commands show to the servers they ask
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<String>,
    /// Address to listen on; without a host, every interface
    #[arg(long = "hp", value_name = "HOST:PORT")]
    host_port: Option<String>,
    /// Read the folder, and never write to it
    #[arg(long = "ro")]
    read_only: bool,
    /// Serve an operator's folder of nsc, read-only
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    nsc: Option<String>,
    /// Log requests
    #[arg(short = 'D', long)]
    debug: bool,
    /// Log everything
    #[arg(short = 'V', long)]
    trace: bool,
    /// The same as -D and -V together
    #[arg(long = "DV")]
    debug_and_trace: bool,
    /// Log the effective configuration at start
    #[arg(long)]
    dump: bool,
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Flags {
    fn into_cli(self, home: Option<PathBuf>) -> Result<Cli, Exit> {
        let expand = |path: &str| expand_home(path, home.as_deref());
        let mut overrides = Overrides::new(self.config.as_deref().map(expand));
        let mut set = |path: &str, value: &str, flag: &str| overrides.set(path, value, flag);

        for (path, value, flag) in
            [("store.dir", &self.dir, "-dir"), ("store.nsc", &self.nsc, "-nsc"), ("nats.creds", &self.creds, "-creds")]
        {
            if let Some(value) = value {
                set(path, &expand(value).to_string_lossy(), flag);
            }
        }
        for (path, value, flag) in [
            ("operator", &self.operator, "-operator"),
            ("change_operator", &self.change_operator, "--change-operator"),
            ("nats.servers", &self.nats, "-nats"),
            ("primary", &self.primary, "-primary"),
        ] {
            if let Some(value) = value {
                set(path, value, flag);
            }
        }
        if let Some(file) = &self.token_file {
            set("token", &token(&expand(file))?, "--token-file");
        }
        if let Some(text) = &self.host_port {
            let (host, port) = hostport::split(text)
                .map_err(|problem| Exit::error(1, format!("error parsing hostport: {problem}")))?;
            set("http.host", host, "-hp");
            set("http.port", port, "-hp");
        }
        if self.read_only {
            set("store.readonly", "true", "-ro");
        }
        if self.trace || self.debug_and_trace {
            set("log.level", "trace", if self.trace { "-V" } else { "-DV" });
        } else if self.debug {
            set("log.level", "debug", "-D");
        }
        Ok(Cli { overrides, command: self.command, dump: self.dump })
    }
}

/// The token in a file.
fn token(file: &Path) -> Result<String, Exit> {
    let why = match std::fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => "it is empty".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Exit::error(1, format!("cannot read the token in {}: {why}", file.display())))
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// A shell expands `~` only at the start of a word, so not in `-dir=~/x`.
fn expand_home(path: &str, home: Option<&Path>) -> PathBuf {
    match (home, path.strip_prefix('~')) {
        (Some(home), Some("")) => home.to_owned(),
        (Some(home), Some(rest)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests;
