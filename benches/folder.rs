//! `cargo bench --bench folder`: a folder of a million JWTs, and accounts asked for at random.
//!
//! Without a journal: the time from the start of the process to the first right answer, and until all is taken in. With
//! one: the time to the first answer. Then GETs spread evenly over all accounts, with a body cache of 64 MiB, beside
//! nginx serving the same folder with `open_file_cache`: both in turn, in one run, with two workers, under the same load
//! of wrk (`apt-get install wrk nginx-light`). Then 2 000 pushes a second for 20 seconds, with the folder following and,
//! in turn, with something in its way: how far the folder is behind, and what the pushes have of it.
//!
//! `ACCOUNTS` sets how many there are (default 1 000 000); `GETS` how many of them are asked for (default 200 000). The
//! folder is made once, in `target/bench-folder`, and kept.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nkeys::KeyPair;
use parking_lot::Mutex;
use support::folder::Folder;
use support::wrk::wrk;
use support::{Connection, Process};

const ROUNDS: usize = 7;
const SECONDS: u32 = 4;
const PUSHES: usize = 2000;
const PUSH_SECONDS: usize = 20;

#[tokio::main]
async fn main() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (accounts, gets) = (number("ACCOUNTS", 1_000_000), number("GETS", 200_000));
    let folder = Folder::open("bench-folder", accounts);
    let (dir, operator) = (folder.tokens(), support::operator(&folder.operator, None));
    let Folder { root, operator: pair, keys } = folder;
    let _ = fs::remove_dir_all(dir.join(".nats-account-server"));
    start(&operator, &dir, &keys, "without a journal").await;
    start(&operator, &dir, &keys, "with a journal").await;
    compare(&root, &operator, &dir, &keys[..gets.min(keys.len())]).await;
    for round in 0..4 {
        sustain(&operator, &pair, &dir, &keys, round).await;
    }
}

/// Pushes newer versions at a steady rate. In every other round the folder cannot be written.
async fn sustain(operator: &str, pair: &KeyPair, dir: &Path, keys: &[String], round: usize) {
    let making = dir.join(".nats-account-server/making");
    let (server, port) = support::server(&["-operator", operator, "-dir", dir.to_str().unwrap()]);
    let follows = round.is_multiple_of(2);
    if !follows {
        fs::remove_dir(&making).unwrap();
        fs::write(&making, "in the way").unwrap();
    }
    // As long ago as there are rounds to come: each is newer than what is there.
    let version = i64::try_from(10_000_000 + round).unwrap();
    let count = (PUSHES * PUSH_SECONDS).min(keys.len());
    let requests: Vec<Vec<u8>> =
        keys[..count].iter().map(|key| support::post(key, &support::account(pair, key, version))).collect();
    let began = tokio::time::Instant::now();
    let queue: Arc<Mutex<Vec<_>>> = Arc::new(Mutex::new(requests.into_iter().enumerate().rev().collect()));
    let workers: Vec<_> = (0..32)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(port).await;
                let mut times = Vec::new();
                loop {
                    let Some((number, request)) = queue.lock().pop() else { return times };
                    let due = began + Duration::from_secs_f64(number as f64 / PUSHES as f64);
                    tokio::time::sleep_until(due).await;
                    let sent = Instant::now();
                    let (status, head) = connection.send(&request).await;
                    assert_eq!(status, 200, "{head}");
                    times.push(sent.elapsed());
                }
            })
        })
        .collect();
    let behind = tokio::spawn(async move {
        let (mut connection, mut most) = (Connection::open(port).await, 0.0f64);
        while began.elapsed() < Duration::from_secs(PUSH_SECONDS as u64) {
            most = most.max(pending(&mut connection).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        most
    });
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await.unwrap());
    }
    let took = began.elapsed().as_secs_f64();
    let behind = behind.await.unwrap();
    times.sort();
    print!(
        "{:.0} pushes/s, {}: p50 {:.2} ms, p99 {:.2} ms",
        times.len() as f64 / took,
        if follows { "folder follows" } else { "folder blocked" },
        support::quantile(&times, 0.5),
        support::quantile(&times, 0.99)
    );
    if follows {
        let done = Instant::now();
        let mut connection = Connection::open(port).await;
        while pending(&mut connection).await > 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!(
            "; at most {behind:.0} changes behind, all on disk {:.1} s after the last",
            done.elapsed().as_secs_f64()
        );
    } else {
        println!();
        fs::remove_file(&making).unwrap();
        fs::create_dir(&making).unwrap();
    }
    drop(server);
}

async fn start(operator: &str, dir: &Path, keys: &[String], what: &str) {
    let began = Instant::now();
    let (server, port) = support::server(&["-operator", operator, "-dir", dir.to_str().unwrap()]);
    let mut connection = Connection::open(port).await;
    // Far from where a scan in the folder's order would be soon.
    let (status, _) = connection.send(&support::get(&format!("/jwt/v1/accounts/{}", keys[keys.len() / 2]))).await;
    assert_eq!(status, 200);
    println!("{what}: first right answer after {:.3} s", began.elapsed().as_secs_f64());
    while connection.send(&support::get("/readyz")).await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "{what}: ready after {:.1} s, {:.1} s of CPU, {} MiB of memory",
        began.elapsed().as_secs_f64(),
        server.cpu().as_secs_f64(),
        server.anonymous() >> 20
    );
}

/// How many changes the folder is behind.
async fn pending(connection: &mut Connection) -> f64 {
    connection.send(&support::get("/metrics")).await;
    let text = connection.body();
    let line = text.lines().find(|line| line.starts_with("nats_account_server_folder_pending ")).unwrap();
    line.split_whitespace().last().unwrap().parse().unwrap()
}

async fn compare(root: &Path, operator: &str, dir: &Path, keys: &[String]) {
    let Ok(nginx) = Command::new("nginx").arg("-v").stderr(Stdio::null()).status() else {
        println!("nginx is not there: nothing to compare with");
        return;
    };
    assert!(nginx.success());
    let (ours, port) = support::server(&["-operator", operator, "-dir", dir.to_str().unwrap()]);
    let peer_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (peer, worker_pids) = nginx_on(root, dir, peer_port);
    let script = requests(root, keys);
    let (mut speed, mut cost) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let ours_used = ours.cpu();
        let ours_rate = ask(port, &script);
        let ours_used = ours.cpu() - ours_used;
        let peer_used = cpu(&worker_pids);
        let peer_rate = ask(peer_port, &script);
        let peer_used = cpu(&worker_pids) - peer_used;
        // The first round fills caches.
        if round > 0 {
            let per = |used: Duration, rate: f64| used.as_secs_f64() * 1e6 / (rate * f64::from(SECONDS));
            let (ours_cost, peer_cost) = (per(ours_used, ours_rate), per(peer_used, peer_rate));
            println!(
                "GET uniform over {}: {ours_rate:.0}/s, {ours_cost:.1} µs; nginx {peer_rate:.0}/s, {peer_cost:.1} µs",
                keys.len()
            );
            speed.push(ours_rate / peer_rate);
            cost.push(ours_cost / peer_cost);
        }
    }
    println!(
        "{:.2} of nginx's requests/s, {:.2} of its CPU per request",
        support::median(&mut speed),
        support::median(&mut cost)
    );
    drop(peer);
}

/// Starts nginx with two workers. Returns it with its workers' process ids.
fn nginx_on(root: &Path, dir: &Path, port: u16) -> (Process, Vec<u32>) {
    let conf = root.join("nginx.conf");
    let text = format!(
        "daemon off; worker_processes 2; worker_rlimit_nofile 20000; user root; pid {root}/nginx.pid; error_log {root}/nginx.log;
         events {{ worker_connections 1024; }}
         http {{
             access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/jwt;
             open_file_cache max=8000 inactive=60s; open_file_cache_valid 60s;
             server {{
                 listen 127.0.0.1:{port};
                 location ~ ^/jwt/v1/accounts/(.+)$ {{ alias {dir}/$1.jwt; }}
             }}
         }}",
        root = root.display(),
        dir = dir.display()
    );
    fs::write(&conf, text).unwrap();
    let child = Command::new("nginx").arg("-c").arg(&conf).stderr(Stdio::null()).spawn().unwrap();
    let process = Process(child);
    let children = format!("/proc/{0}/task/{0}/children", process.0.id());
    loop {
        let pids: Vec<u32> =
            fs::read_to_string(&children).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        if pids.len() == 2 && std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return (process, pids);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn cpu(pids: &[u32]) -> Duration {
    pids.iter().map(|pid| support::cpu_of(*pid)).sum()
}

/// Requests a second that a server answers.
fn ask(port: u16, script: &Path) -> f64 {
    wrk(2, SECONDS, &["-s", script.to_str().unwrap(), &format!("http://127.0.0.1:{port}")]).rate
}

/// A script for wrk that asks for the accounts at random.
fn requests(root: &Path, keys: &[String]) -> PathBuf {
    let list = root.join("asked");
    fs::write(&list, keys.join("\n")).unwrap();
    let script = root.join("random.lua");
    let text = format!(
        "local keys = {{}}
         for key in io.lines('{}') do keys[#keys + 1] = key end
         local made = {{}}
         math.randomseed(os.time())
         request = function()
             return wrk.format('GET', '/jwt/v1/accounts/' .. keys[math.random(#keys)])
         end",
        list.display()
    );
    fs::write(&script, text).unwrap();
    script
}
