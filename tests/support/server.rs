//! The real program.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Http, Operator, PATIENCE, until};

const BINARY: &str = env!("CARGO_BIN_EXE_nats-account-server");

/// A command line to be run.
#[derive(Clone, Default)]
pub(crate) struct Launch {
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    client: Option<reqwest::Client>,
    address: Option<String>,
    open_files: Option<u32>,
    user: Option<u32>,
    umask: Option<&'static str>,
    current_dir: Option<PathBuf>,
    sockets: Vec<(&'static str, Arc<OwnedFd>)>,
}

impl Launch {
    pub(crate) fn primary(operator: &Operator) -> Self {
        Self::default().flag("-operator", operator.jwt())
    }

    pub(crate) fn replica(operator: &Operator, primary: &str) -> Self {
        Self::primary(operator).flag("-primary", primary)
    }

    pub(crate) fn flag(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.args.extend([name.into(), value.as_ref().to_owned()]);
        self
    }

    pub(crate) fn dir(self, dir: &Path) -> Self {
        self.flag("-dir", dir)
    }

    /// A connection to NATS at `url`, as `creds` says.
    pub(crate) fn nats(self, url: &str, creds: &Path) -> Self {
        self.flag("-nats", url).flag("-creds", creds)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A host and port to listen on, at a restart, too, instead of a port of the system's choice.
    pub(crate) fn at(mut self, address: &str) -> Self {
        self.address = Some(address.to_owned());
        self
    }

    /// The settings say where it listens.
    pub(crate) fn at_its_settings(self) -> Self {
        self.at("")
    }

    /// A socket that is open before it starts, as with systemd, and its name. At most two.
    pub(crate) fn socket(mut self, name: &'static str, socket: impl Into<OwnedFd>) -> Self {
        self.sockets.push((name, Arc::new(socket.into())));
        self
    }

    /// At most so many open files; the soft limit is a quarter of that.
    pub(crate) fn open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// HTTPS with these files. `client`: what the test speaks to the server with.
    pub(crate) fn https(self, cert: &Path, key: &Path, client: reqwest::ClientBuilder) -> Self {
        self.client(client).path("NAS_HTTP__TLS__CERT", cert).path("NAS_HTTP__TLS__KEY", key)
    }

    /// The server will speak HTTPS, and the test with this.
    pub(crate) fn client(mut self, client: reqwest::ClientBuilder) -> Self {
        self.client = Some(client.build().unwrap());
        self
    }

    /// Another user of the system runs it; only root can arrange that.
    pub(crate) fn user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// The umask that it inherits, in octal.
    pub(crate) fn umask(mut self, umask: &'static str) -> Self {
        self.umask = Some(umask);
        self
    }

    /// The folder that it is started in.
    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.current_dir = Some(dir.to_owned());
        self
    }

    /// A setting that is a path, in the environment.
    pub(crate) fn path(mut self, name: &str, value: &Path) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts the program, unless said otherwise on a port of the system's choice, and waits until it is ready.
    pub(crate) async fn start(self) -> Server {
        let server = self.start_unready().await;
        until("the server is ready", || async {
            server.http.try_get("/readyz").await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
        server
    }

    /// Starts the program and waits until it listens.
    pub(crate) async fn start_unready(self) -> Server {
        match self.try_start().await {
            Ok(server) => server,
            Err((status, log)) => panic!("the server ended with {status} before it listened:\n{log}"),
        }
    }

    /// Starts the program and waits until it listens, or has ended.
    pub(crate) async fn try_start(self) -> Result<Server, (ExitStatus, String)> {
        let launch = self.clone();
        let address = self.address.clone().unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let placed = if address.is_empty() { self } else { self.flag("-hp", address) };
        let mut child = placed.spawn();
        let log = Log::of(child.stderr.take().unwrap());
        let mut server = Server { child, log, launch, url: String::new(), http: Http::new("") };
        let started = Instant::now();
        loop {
            let scheme = if server.launch.client.is_some() { "https" } else { "http" };
            if let Some(port) = server.log.after(&format!(" {scheme} listening on port ")) {
                server.url = format!("{scheme}://127.0.0.1:{port}");
                server.http = match &server.launch.client {
                    Some(client) => Http::with(client.clone(), &server.url),
                    None => Http::new(&server.url),
                };
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                return Err((status, server.log.all().await));
            }
            assert!(started.elapsed() < PATIENCE, "no port is in the log:\n{}", server.log.text());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Runs the program to its end, which must come by itself. Returns the exit code and what was written to stderr.
    pub(crate) async fn fail(self) -> (Option<i32>, String) {
        let mut child = self.spawn();
        let log = Log::of(child.stderr.take().unwrap());
        let mut child = Killed(child);
        let status = exit(&mut child.0, &log).await;
        (status.code(), log.all().await)
    }

    /// Runs the program until a condition holds, which is asked all the time, and kills it at that very moment.
    pub(crate) fn kill_when(self, condition: impl Fn() -> bool) {
        let (_child, started) = (Killed(self.spawn()), Instant::now());
        while !condition() {
            assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for the moment to kill it");
        }
    }

    fn spawn(&self) -> Child {
        let mut first: Vec<String> = self.umask.map(|umask| format!("umask {umask}")).into_iter().collect();
        if let Some(most) = self.open_files {
            first.push(format!("ulimit -Sn {} && ulimit -Hn {most}", most / 4));
        }
        if !self.sockets.is_empty() {
            let names = self.sockets.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(":");
            first.push(format!("export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={names}", self.sockets.len()));
            // They come as standard input and output. systemd passes them from 3 on.
            first.push("exec 3<&0 4<&1 </dev/null >/dev/null".to_owned());
        }
        let mut command = if first.is_empty() {
            Command::new(BINARY)
        } else {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("{} && exec \"$0\" \"$@\"", first.join(" && "))).arg(BINARY);
            shell
        };
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        let stream = |place: usize| {
            let socket = self.sockets.get(place).map(|(_, socket)| socket.try_clone().unwrap());
            socket.map_or_else(Stdio::null, Stdio::from)
        };
        command.env("NO_COLOR", "1").stdin(stream(0)).stdout(stream(1)).stderr(Stdio::piped());
        command.spawn().unwrap()
    }
}

/// A running server, killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    log: Log,
    launch: Launch,
    pub(crate) url: String,
    pub(crate) http: Http,
}

impl Server {
    /// A primary that keeps everything in memory.
    pub(crate) async fn primary(operator: &Operator) -> Self {
        Launch::primary(operator).start().await
    }

    /// A primary with a folder.
    pub(crate) async fn primary_in(operator: &Operator, dir: &Path) -> Self {
        Launch::primary(operator).dir(dir).start().await
    }

    /// A replica that has caught up with the feed of its primary.
    pub(crate) async fn replica(operator: &Operator, primary: &str) -> Self {
        let server = Launch::replica(operator, primary).start().await;
        server.follows().await;
        server
    }

    /// Waits until a replica follows its primary's feed.
    pub(crate) async fn follows(&self) {
        until("the replica follows the feed", || async { self.http.metric("replica_feed_connected", "").await == 1.0 })
            .await;
    }

    pub(crate) fn host(&self) -> &str {
        self.url.trim_start_matches("http://").trim_start_matches("https://")
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// The most memory that the process had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    /// Files and connections that the process has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits for a text in the log.
    pub(crate) async fn logs(&self, text: &str) {
        until(&format!("the log says {text:?}"), || async { self.log().contains(text) }).await;
    }

    /// Waits until a text is in the log so many times.
    pub(crate) async fn logs_times(&self, text: &str, times: usize) {
        until(&format!("the log says {text:?} {times} times"), || async { self.log().matches(text).count() >= times })
            .await;
    }

    /// Ends it as a power cut would end it, as far as the process goes.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it and starts the same command line again; on another port, unless it has an address.
    pub(crate) async fn restart(mut self) -> Self {
        self.kill();
        self.launch.clone().start().await
    }

    /// Stops it gently and starts the same command line again; on another port, unless it has an address.
    pub(crate) async fn stop_and_start(mut self) -> Self {
        self.signal("TERM");
        assert!(self.exit().await.success());
        self.launch.clone().start().await
    }

    /// Sends a signal by its name, as in `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Sends a signal to a process that may have ended.
    pub(crate) fn signal_if_running(&mut self, name: &str) {
        if !self.has_ended() {
            self.signal(name);
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end of the process.
    /// Tells it to stop, again and again, until it has ended: a signal that comes before the first was dealt with does not
    /// count. It has to end at once.
    pub(crate) async fn ends_when_told_again(&mut self) {
        let told = Instant::now();
        while !self.has_ended() {
            assert!(told.elapsed() < Duration::from_secs(3), "it does not end:\n{}", self.log());
            self.signal_if_running("TERM");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        exit(&mut self.child, &self.log).await
    }
}

impl Drop for Server {
    #[allow(clippy::print_stdout)] // shown with a test that failed
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- log of {}:\n{}", self.url, self.log.text());
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn exit(child: &mut Child, log: &Log) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(started.elapsed() < PATIENCE, "the process does not end:\n{}", log.text());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What a process has written so far.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<String>>);

impl Log {
    /// Collects lines until the other side is closed.
    pub(crate) fn of(from: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let text = log.0.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut text = text.lock();
                text.push_str(&line);
                text.push('\n');
            }
        });
        log
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().clone()
    }

    /// Everything, from a process that has ended: its last line may be read after that.
    async fn all(&self) -> String {
        until("all is read", || async { Arc::strong_count(&self.0) == 1 }).await;
        self.text()
    }

    /// The digits behind the first occurrence of `marker` in a complete line.
    fn after(&self, marker: &str) -> Option<u16> {
        let text = self.text();
        let rest = &text[text.find(marker)? + marker.len()..];
        rest.split(|symbol: char| !symbol.is_ascii_digit()).next()?.parse().ok()
    }
}
