//! TLS to a database: whom the client trusts.
//!
//! Apart from the connections because a file of certificates is read once, and what is wrong with it is told before any
//! connection is made. The server's certificate must be signed by one of them and name the host: less is no protection.

use super::Error;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// A client that trusts the certificates of a PEM file, and no others.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn trusting(ca: &Path) -> Result<ClientConfig, Error> {
    let what = || format!("cannot use the certificates of `{}`", ca.display());
    let hint = "name a file of PEM certificates, such as the one that the database's operator gives";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|e| Error::new(what(), e).hint(hint))? {
        let certificate = certificate.map_err(|e| Error::new(what(), e).hint(hint))?;
        roots.add(certificate).map_err(|e| Error::caused_by(what(), e))?;
    }
    if roots.is_empty() {
        return Err(Error::new(what(), "there is none in it").hint(hint));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| Error::caused_by(what(), e))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
