//! `nats-account-server` stores **account JWTs** and serves them to nats-servers in operator mode. nats-server's URL
//! resolver and `nsc` use HTTP; the server announces changes over NATS.
//!
//! # A guided tour
//!
//! The house has floors, and a room uses only rooms below it. From the ground up:
//!
//! * **Ground.** [`key`] has public nkeys in their one spelling. [`config`] turns flags, the environment and files into
//!   [`config::Settings`]. [`metrics`] has the metrics for Prometheus. [`tls`] reads certificates and keys, again when
//!   they change. [`logging`], [`calendar`], [`clock`] and [`generation`] are small tools.
//! * **1: [`jwt`]** reads tokens and judges their claims exactly as the Go library does, which nats-server uses.
//! * **2: [`gate`]** is the one way in. It admits a token (signature, operator, claims, time) and rules its order
//!   (newer never yields to older). Only the gate makes an [`gate::Entry`], so nothing else can be stored or served.
//!   Next to it, [`folder`] reads, writes, watches and locks folders of JWT files, and [`access`] says who may do what.
//! * **3: [`feed`]** is the order of changes: sessions, serials, a hash chain, and their form on the wire. [`audit`], next
//!   to it, writes the audit log. [`upstream`], one floor up, is the client of other account servers.
//! * **4: [`store`]** has the journal, in SQLite: of a primary, and of a replica.
//! * **5: [`node`]** is the port: what the edges can ask, and what the roles implement.
//!   [`api`], one floor up, has the documents of the API.
//! * **6: [`primary`]** owns a journal; **[`replica`]** caches what a primary owns, and answers while the primary is
//!   away. [`backup`] copies, verifies and restores the file of a journal.
//!   **[`http`]** and **[`nats`]**, on the same floor, are the two edges. They meet the roles only through the node.
//! * **Top.** [`server`] builds the rooms, reloads settings, and stops them; [`commands`] is the command line.
//!
//! Two walks to begin with: *a push* goes `http::push` → [`node::Node::submit`] → [`gate::Gate::admit`] →
//! [`store::Journal::commit`] → 200, and from the journal on to followers and nats-servers. *A miss* goes
//! `http::account` → [`node::Node::get`] → [`node::Backend::get`] → the primary → [`gate::Gate::admit`] → 200.
//! `docs/architecture.md` walks them in full.

#![forbid(unsafe_code)]

pub mod access;
pub mod api;
pub mod audit;
pub mod backoff;
pub mod backup;
pub mod calendar;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
mod descriptors;
pub mod excerpt;
pub mod feed;
pub mod folder;
pub mod gate;
pub mod generation;
pub mod http;
pub mod jwt;
pub mod key;
pub mod logging;
pub mod metrics;
pub mod nats;
pub mod node;
pub mod primary;
pub mod replica;
pub mod server;
pub mod store;
pub mod testkit;
pub mod throttle;
pub mod tls;
pub mod upstream;
