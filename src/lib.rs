//! `nats-account-server` hosts **account JWTs** for nats-servers in operator mode: over HTTP, where nats-server's URL
//! resolver and `nsc` find them, and over NATS, where changes are announced.
//!
//! # A guided tour
//!
//! The house has floors, and a room knows only those below it. From the ground up:
//!
//! * **Ground.** [`key`] is the name of everything: public nkeys in their one spelling. [`config`] turns flags, the
//!   environment and files into [`config::Settings`]. [`metrics`] holds the handles that Prometheus scrapes;
//!   [`tls`] reads certificates and keys, and reads them again when they change; [`logging`], [`calendar`], [`clock`] and
//!   [`epoch`] are what they say.
//! * **1: [`jwt`]** reads tokens and judges their claims exactly as the Go library does, which nats-server uses.
//! * **2: [`gate`]** is the one way in. It admits a token (signature, operator, claims, time) and rules its order
//!   (newer never yields to older). Only the gate makes an [`gate::Entry`], so nothing else can be stored or served.
//!   Next to it, [`folder`] reads, writes, watches and locks folders of JWT files.
//! * **3: [`feed`]** is the order of changes: sessions, serials, a hash chain, and their form on the wire. [`upstream`] reads
//!   what other account servers answer.
//! * **4: [`store`]** holds the journal and the snapshot, in SQLite.
//! * **5: [`primary`]** owns a journal; **[`replica`]** caches what a primary owns, and answers whatever is down.
//!   [`backup`] copies, verifies and restores the file of a journal.
//! * **6: [`node`]** is what can be asked of either.
//! * **7: [`http`]** and **[`nats`]** are the two edges.
//! * **Top.** [`server`] builds the rooms, changes what can change while they run, and takes them down; [`commands`]
//!   is the command line.
//!
//! Two walks to begin with: *a push* goes `http::push` → [`node::Node::submit`] → [`gate::Gate::admit`] →
//! [`store::Journal::commit`] → 200, and from the journal on to followers and nats-servers. *A miss* goes
//! `http::account` → [`node::Node::get`] → [`replica::Replica::get`] → the primary → [`gate::Gate::admit`] → 200.
//! `docs/architecture.md` walks them in full.

#![forbid(unsafe_code)]

pub mod backoff;
pub mod backup;
pub mod calendar;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
mod descriptors;
pub mod epoch;
pub mod excerpt;
pub mod feed;
pub mod folder;
pub mod gate;
pub mod http;
pub mod jwt;
pub mod key;
pub mod logging;
pub mod metrics;
pub mod nats;
pub mod node;
pub mod primary;
pub mod rarely;
pub mod replica;
pub mod server;
pub mod store;
pub mod testkit;
pub mod tls;
pub mod upstream;
