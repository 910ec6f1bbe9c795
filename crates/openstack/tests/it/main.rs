//! The client against fakes: what it sends, and what it makes of every kind of answer.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod auth;
mod config;
mod corpus;
mod errors;
mod identity;
mod lists;
mod network;
mod raw;
mod retry;
mod secrets;
mod support;
mod tls;
mod tokens;
