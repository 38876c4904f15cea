//! TLS with the one provider of all engines.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::database::Database;
use crate::hosted::BoxError;

/// Makes what connects by TLS. `wanted` is whether it will.
pub(super) fn tls(database: &Database, wanted: bool) -> Result<MakeRustlsConnect, BoxError> {
    let mut roots = rustls::RootCertStore::empty();
    for file in &database.certificates {
        for certificate in certificates(file)? {
            roots.add(certificate)?;
        }
    }
    // Reading those of the system takes a while.
    if database.certificates.is_empty() && wanted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(MakeRustlsConnect::new(match &database.client_certificate {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
            config.with_client_auth_cert(certificates(certificate)?, key)?
        }
        None => config.with_no_client_auth(),
    }))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read.map_err(|error| in_file(file, &error))? {
        none if none.is_empty() => {
            Err(alloc::format!("`{}` has no certificate", file.display()).into())
        }
        some => Ok(some),
    }
}

fn in_file(file: &Path, error: &rustls::pki_types::pem::Error) -> BoxError {
    alloc::format!("`{}`: {error}", file.display()).into()
}
