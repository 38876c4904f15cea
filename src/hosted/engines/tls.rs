//! TLS, with the one provider of all engines.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::failed::{IS_TLS, disconnected, refused};
use crate::hosted::{BoxError, Reason};

/// Returns how a client encrypts: it trusts the authorities of these files, or those of the system
/// if there are none and `of_system`. It shows the certificate and key of `client`.
pub(in crate::hosted::engines) fn config(
    authorities: &[PathBuf],
    client: Option<&(PathBuf, PathBuf)>,
    of_system: bool,
) -> Result<rustls::ClientConfig, BoxError> {
    let mut roots = rustls::RootCertStore::empty();
    for file in authorities {
        for certificate in certificates(file)? {
            roots.add(certificate)?;
        }
    }
    // Reading those of the system takes a while.
    if authorities.is_empty() && of_system {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match client {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
            config.with_client_auth_cert(certificates(certificate)?, key)?
        }
        None => config.with_no_client_auth(),
    })
}

/// Returns what may be why a handshake failed, for the end of a text.
pub(in crate::hosted::engines) fn hint(error: &std::io::Error) -> &'static str {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::InvalidMessage(_)) => IS_TLS,
        // What rustls says arrives as data that are not valid.
        _ if error.kind() == std::io::ErrorKind::InvalidData => "",
        _ => IS_TLS,
    }
}

/// Returns why a handshake with `server` failed.
pub(in crate::hosted::engines) fn failed(server: &str, error: &std::io::Error) -> Reason {
    let why = format!("`{server}`: {error}{}", hint(error));
    let is_lost = error.kind() != std::io::ErrorKind::InvalidData;
    if is_lost { disconnected(why) } else { refused(why) }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read.map_err(|error| in_file(file, &error))? {
        none if none.is_empty() => Err(format!("`{}` has no certificate", file.display()).into()),
        some => Ok(some),
    }
}

fn in_file(file: &Path, error: &rustls::pki_types::pem::Error) -> BoxError {
    format!("`{}`: {error}", file.display()).into()
}
