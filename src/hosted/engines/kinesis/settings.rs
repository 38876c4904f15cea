//! What a user decides about an engine, and the client that follows from it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::env;
use std::path::PathBuf;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_kinesis::{Client, Config};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::leases::LeaseStore;
use crate::hosted::Reason;
use crate::hosted::config::{Secret, ServerUrl};
use crate::hosted::engines::failed::refused;
use crate::hosted::engines::tls;
use crate::hosted::provision::Provision;
use crate::hosted::start::OnStart;

/// Who the program is at the server.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) id: String,
    pub(super) secret: Secret,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) stream: String,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<ServerUrl>,
    pub(super) login: Option<Login>,
    pub(super) token: Option<Secret>,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) shards: u32,
    pub(super) provision: Provision,
    pub(super) on_start: OnStart,
    pub(super) timeout: Duration,
    pub(super) heartbeat: Duration,
    pub(super) poll: Duration,
    pub(super) checkpoint: Duration,
    pub(super) shard_lease: Duration,
    pub(super) leases: Option<Arc<dyn LeaseStore>>,
    /// Instead of everything above about the server.
    pub(super) config: Option<Box<Config>>,
}

impl Settings {
    pub(super) fn client(&self) -> Result<Client, Reason> {
        let config = match &self.config {
            Some(config) => config.to_builder(),
            None => {
                let mut config = Config::builder()
                    .behavior_version(BehaviorVersion::latest())
                    .region(Region::new(self.region()?))
                    .credentials_provider(self.credentials()?)
                    .http_client(self.http()?);
                if let Some(url) = &self.endpoint {
                    config = config.endpoint_url(url.expose());
                }
                config
            }
        };
        // What is worth another attempt, and how long to wait, is decided by the engine.
        let timeouts = TimeoutConfig::builder().connect_timeout(self.timeout).build();
        let config = config
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Ok(Client::from_conf(config))
    }

    fn region(&self) -> Result<String, Reason> {
        let of_environment = || env::var("AWS_REGION").or_else(|_| env::var("AWS_DEFAULT_REGION"));
        let region = self.region.clone().or_else(|| of_environment().ok());
        region
            .filter(|region| !region.is_empty())
            .ok_or_else(|| refused("there is no region: set it, or the variable `AWS_REGION`"))
    }

    fn credentials(&self) -> Result<Credentials, Reason> {
        let variable = |name| env::var(name).ok().filter(|value: &String| !value.is_empty());
        let (id, secret, token) = match &self.login {
            Some(login) => {
                let token = self.token.as_ref().map(|token| token.expose().into());
                (login.id.clone(), login.secret.expose().into(), token)
            }
            None => match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
                (Some(id), Some(secret)) => (id, secret, variable("AWS_SESSION_TOKEN")),
                _ => {
                    return Err(refused(
                        "there are no credentials: set them, or the variables `AWS_ACCESS_KEY_ID` \
                         and `AWS_SECRET_ACCESS_KEY`",
                    ));
                }
            },
        };
        Ok(Credentials::new(id, secret, token, None, "tickbus"))
    }

    fn http(&self) -> Result<SharedHttpClient, Reason> {
        let plain = |url: &ServerUrl| url.expose().starts_with("http://");
        if self.endpoint.as_ref().is_some_and(plain) {
            if self.certificates.is_empty() {
                return Ok(Builder::new().build_http());
            }
            return Err(refused("a CA file is for TLS, and the endpoint is `http://`"));
        }
        // The client panics at a file that it cannot read: this reads it before.
        tls::config(&self.certificates, None, false).map_err(refused)?;
        let mut trusted = TrustStore::empty().with_native_roots(self.certificates.is_empty());
        for file in &self.certificates {
            let read = std::fs::read(file);
            let pem = read.map_err(|error| refused(format!("`{}`: {error}", file.display())))?;
            trusted.add_pem_certificate(pem);
        }
        let context = TlsContext::builder().with_trust_store(trusted).build();
        let context = context.map_err(|error| refused(format!("{error}")))?;
        let ring = Provider::Rustls(CryptoMode::Ring);
        Ok(Builder::new().tls_provider(ring).tls_context(context).build_https())
    }
}
