//! What a user decides about an engine, and the bounds of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use std::path::PathBuf;

use crate::hosted::provision::Provision;
use crate::hosted::start::OnStart;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) login: Login,
    pub(super) tls: bool,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) stream: Option<String>,
    pub(super) subjects: Vec<String>,
    pub(super) provision: Provision,
    pub(super) replicas: usize,
    pub(super) max_age: Duration,
    pub(super) in_memory: bool,
    pub(super) on_start: OnStart,
    pub(super) timeout: Duration,
    pub(super) heartbeat: Duration,
    pub(super) client: Option<async_nats::Client>,
}

#[derive(Clone)]
pub(super) enum Login {
    Anonymous,
    Password(String, String),
    Token(String),
    Nkey(String),
    File(PathBuf),
}

/// What stands before an `@` of a URL is for the server alone. A password may have commas, which part
/// the URLs: what may belong to it is left out.
pub(super) fn without_login(urls: &str) -> String {
    let mut shown = Vec::new();
    let mut may_be_login = false;
    for url in urls.rsplit(',') {
        let url = url.trim();
        let scheme = ["nats://", "tls://", "ws://", "wss://"];
        let scheme = scheme.into_iter().find(|scheme| url.starts_with(scheme));
        match (scheme, url.rsplit_once('@')) {
            (_, Some((_, host))) => {
                shown.push(alloc::format!("{}{host}", scheme.unwrap_or_default()));
            }
            (Some(scheme), None) if may_be_login => shown.push(scheme.into()),
            (None, None) if may_be_login => continue,
            (_, None) => shown.push(url.into()),
        }
        may_be_login = scheme.is_none() && (may_be_login || url.contains('@'));
    }
    shown.reverse();
    shown.join(",")
}
