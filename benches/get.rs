//! `cargo bench --bench get`: a hot GET, beside a bare actix-web handler that returns the same bytes and headers.
//!
//! Both servers run in turn, in one run, with as many workers, under the same load of 64 keep-alive connections, made
//! with wrk (`apt-get install wrk`). Reported are requests a second and CPU time per request, and their ratios.
//! `PEER` is a binary of this server that takes the place of the bare handler.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, web};
use nkeys::KeyPair;
use support::Process;
use support::wrk::wrk;

const ROUNDS: usize = 15;
const SECONDS: u32 = 2;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[..] {
        [_, mode, port, token] if mode == "bare" => runtime.block_on(bare(port.parse().unwrap(), token.clone())),
        _ => runtime.block_on(compare()),
    }
}

/// The yardstick: no routes, no look-up, the same answer.
async fn bare(port: u16, token: String) {
    let token = web::Bytes::from(token);
    HttpServer::new(move || {
        let token = token.clone();
        App::new().default_service(web::to(move || {
            let token = token.clone();
            async move {
                HttpResponse::Ok()
                    .insert_header((header::ETAG, "\"0123456789abcdef0123456789abcdef\""))
                    .insert_header((header::CACHE_CONTROL, "max-age=5, stale-while-revalidate=5, stale-if-error=3600"))
                    .insert_header((header::CONTENT_TYPE, "application/jwt"))
                    .body(token)
            }
        }))
    })
    .backlog(4096)
    .bind(("127.0.0.1", port))
    .unwrap()
    .run()
    .await
    .unwrap();
}

fn start_bare(token: &str) -> (Process, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bare = Command::new(std::env::current_exe().unwrap())
        .args(["bare", &port.to_string(), token])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    (Process(bare), port)
}

async fn compare() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account().public_key());
    let token = support::account(&operator, &account, 1);
    let operator = support::operator(&operator, None);
    let (ours, port) = support::server(&["-operator", &operator]);
    support::load(port, vec![vec![support::post(&account, &token)]]).await;
    let (name, (peer, peer_port)) = match std::env::var("PEER") {
        Ok(binary) => {
            let (peer, port) = support::server_of(&binary, &["-operator", &operator], &[]);
            support::load(port, vec![vec![support::post(&account, &token)]]).await;
            ("the peer", (peer, port))
        }
        Err(_) => ("bare", start_bare(&token)),
    };
    let path = format!("/jwt/v1/accounts/{account}");
    // The machine's speed changes over time, so what is compared is neighbours.
    let (mut rates, mut costs, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first_ours = (round % 2 == 0).then(|| measure(&ours, port, &path));
        let (peer_rate, peer_cost) = measure(&peer, peer_port, &path);
        let (rate, cost) = first_ours.unwrap_or_else(|| measure(&ours, port, &path));
        println!("round {round}: ours {rate:.0}/s {cost:.2} us, {name} {peer_rate:.0}/s {peer_cost:.2} us");
        rates.push(rate / peer_rate);
        costs.push(cost / peer_cost);
        all.push(rate);
    }
    println!("ours: {:.0}/s (median)", support::median(&mut all));
    println!(
        "ratio (median of the rounds): {:.3} of the requests per second, {:.3} of the CPU per request",
        support::median(&mut rates),
        support::median(&mut costs)
    );
}

/// Requests a second, and microseconds of the server's CPU per request.
fn measure(server: &Process, port: u16, path: &str) -> (f64, f64) {
    let before = server.cpu();
    let seen = wrk(1, SECONDS, &[&format!("http://127.0.0.1:{port}{path}")]);
    let used = server.cpu() - before;
    (seen.rate, used.as_secs_f64() * 1e6 / seen.requests)
}
