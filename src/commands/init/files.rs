//! The files, and how they are written.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::plan::Plan;

/// A file in the folder.
#[derive(Debug, Serialize)]
pub(super) struct MadeFile {
    pub(super) path: PathBuf,
    pub(super) state: FileState,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FileState {
    /// It was written.
    Made,
    /// It was there with the same content.
    Same,
    /// It was there with other content, and stays.
    Kept,
}

/// Writes what is not there yet.
pub(super) fn write(plan: &Plan) -> Result<Vec<MadeFile>, String> {
    fs::create_dir_all(&plan.dir).map_err(|error| format!("cannot make the folder {}: {error}", plan.dir.display()))?;
    // Addresses of nats-servers may have passwords.
    let mut wanted = vec![(plan.settings_file(), settings(plan), 0o640)];
    if let Some(text) = &plan.operator_text {
        wanted.push((plan.operator.clone(), format!("{text}\n"), 0o644));
    }
    wanted.extend([
        (plan.nats_server_file(), nats_server(plan), 0o644),
        (plan.dir.join("nats-account-server.service"), unit(plan), 0o644),
        (plan.dir.join("docker-compose.yml"), compose(plan), 0o644),
    ]);
    wanted.into_iter().map(|(path, text, mode)| new(path, &text, mode)).collect()
}

fn new(path: PathBuf, text: &str, mode: u32) -> Result<MadeFile, String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let state = match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(failed)?;
            FileState::Made
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::read_to_string(&path).is_ok_and(|there| there == text) { FileState::Same } else { FileState::Kept }
        }
        Err(error) => return Err(failed(error)),
    };
    Ok(MadeFile { path, state })
}

/// A text in quotes, as the NATS configuration language, systemd, YAML and JSON read it. It has no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn settings(plan: &Plan) -> String {
    let servers: Vec<_> = plan.nats.iter().map(|server| quoted(server)).collect();
    let mut nats = vec![if servers.is_empty() {
        "  # Without nats-servers, no change is announced: they go on with what they have loaded.\n  # servers: \
         [\"nats://localhost:4222\"]"
            .to_owned()
    } else {
        format!("  servers: [{}]", servers.join(", "))
    }];
    nats.push(match &plan.creds {
        Some(creds) => format!("  creds: {}", quoted_path(creds)),
        None => "  # Credentials of a user of the system account: nsc generate creds -a SYS -n sys\n  # creds: \
                 \"sys.creds\""
            .to_owned(),
    });
    format!(
        "# A primary. docs/configuration.md describes every key.\n\noperator: {}\n\nhttp {{\n  # Clients on other machines \
         need 0.0.0.0.\n  host: {}\n  port: {}\n}}\n\nstore {{\n  # Account JWTs, and the journal.\n  dir: {}\n}}\n\nnats \
         {{\n{}\n}}\n",
        quoted_path(&plan.operator),
        quoted(&plan.host),
        plan.port,
        quoted_path(&plan.store),
        nats.join("\n")
    )
}

fn nats_server(plan: &Plan) -> String {
    let system_account = plan.system_account.map_or_else(
        || "# The operator's JWT names no system account.".to_owned(),
        |key| format!("system_account: {key}"),
    );
    format!(
        "# For every nats-server of the operator. On other machines, write the name of the account server's machine into the\n# \
         URL.\n\noperator: {}\n{system_account}\nresolver: URL(\"{}/jwt/v1/accounts/\")\n",
        quoted_path(&plan.operator),
        plan.url
    )
}

fn unit(plan: &Plan) -> String {
    // systemd reads % and $ itself.
    let word = |path: &Path| quoted_path(path).replace('%', "%%").replace('$', "$$");
    format!(
        "# A hint: the repository's deploy/nats-account-server.service protects more.\n#   useradd --system --shell \
         /usr/sbin/nologin nats-account-server\n#   the user must own {store}, and read {operator}\n\n[Unit]\nDescription=NATS \
         account server\nWants=network-online.target\nAfter=network-online.target\n\n[Service]\nType=notify\nWatchdogSec=60\n\
         User=nats-account-server\n\
         ExecStart=/usr/local/bin/nats-account-server -c {settings}\nExecReload=/bin/kill -HUP \
         $MAINPID\nRestart=on-failure\nTimeoutStopSec=30\nUMask=0027\nLimitNOFILE=65536\nNoNewPrivileges=yes\n\
         ProtectSystem=strict\nReadWritePaths={store}\n\n[Install]\nWantedBy=multi-user.target\n",
        store = word(&plan.store),
        operator = word(&plan.operator),
        settings = word(&plan.settings_file()),
    )
}

fn compose(plan: &Plan) -> String {
    let volume = |path: &Path, mode: &str| {
        // $ begins a variable in a compose file.
        let path = path.to_string_lossy().replace('$', "$$");
        format!("      - {}", quoted(&format!("{path}:{path}{mode}")))
    };
    let mut volumes =
        vec![volume(&plan.store, ""), volume(&plan.settings_file(), ":ro"), volume(&plan.operator, ":ro")];
    volumes.extend(plan.creds.iter().map(|creds| volume(creds, ":ro")));
    let settings = quoted_path(&plan.settings_file()).replace('$', "$$");
    format!(
        "# A hint: docker-compose.yml of the repository has replicas and a load balancer, too.\n# User 10001 must own the store \
         and read the other files.\n\nservices:\n  nats-account-server:\n    image: nats-account-server\n    command: [\"-c\", \
         {settings}]\n    environment:\n      NAS_HTTP__HOST: \"0.0.0.0\"\n    ports: [\"127.0.0.1:{port}:{port}\"]\n    \
         restart: unless-stopped\n    stop_grace_period: 30s\n    volumes:\n{volumes}\n    healthcheck:\n      test: [\"CMD\", \
         \"nats-account-server\", \"healthcheck\", \"-c\", {settings}]\n      interval: 10s\n      timeout: 5s\n",
        port = plan.port,
        volumes = volumes.join("\n"),
    )
}
