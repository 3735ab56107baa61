//! What the program promises over HTTP, asked of the real program.
// The servers are ours.
mod changes;
mod deletes;
mod digests;
mod errors;
mod given;
mod history;
mod leaves;
mod operators;
mod pushes;
mod reads;
mod routes;
mod scarce;
