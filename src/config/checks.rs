//! Checks that need all settings together.

use super::error::ConfigError;
use super::listen::ListenAddress;
use super::settings::{
    Admin, Audit, AuditFailure, ClientAuth, Http, HttpTls, PackResponder, ReplicaMode, ResolverMode, Settings, Tls,
};
use super::urls;

/// Refuses settings that contradict each other.
pub(super) fn check(settings: &Settings, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    together("http.tls", &settings.http.tls.files())?;
    together("admin.tls", &settings.admin.tls.files())?;
    together("nats.tls", &settings.nats.tls)?;
    together("replica.tls", &settings.replica.tls)?;
    client_auth("http.tls", &settings.http.tls)?;
    client_auth("admin.tls", &settings.admin.tls)?;
    admin(&settings.admin, warnings)?;
    trusted_proxies(&settings.http, warnings);
    certificates(settings, warnings);
    towards_primary(settings, warnings)?;
    one_nats_login(&settings.nats.servers)?;
    if let Some(key) = settings.change_operator.as_ref().filter(|_| settings.change_operator().is_none()) {
        return Err(ConfigError::Conflict(format!(
            "change_operator is {key:?}, but the public identity key of an operator is expected: 56 characters that begin \
             with O"
        )));
    }
    if settings.nats.servers.is_empty() && settings.nats.creds.is_some() {
        warnings.push("nats.creds has no effect, because nats.servers is empty: NATS is not used".to_owned());
    }
    if settings.nats.servers.is_empty() && !settings.nats.tls.is_empty() {
        warnings.push("nats.tls has no effect, because nats.servers is empty: NATS is not used".to_owned());
    }
    let takes_part =
        settings.replica.mode == ReplicaMode::Mirror && settings.nats.resolver == ResolverMode::Participant;
    if settings.is_replica() && settings.nats.pack_responder == PackResponder::On && !takes_part {
        warnings.push(
            "nats.pack_responder has no effect on a replica, unless it is a mirror and nats.resolver is participant"
                .to_owned(),
        );
    }
    signing(settings, warnings);
    import_from(settings, warnings);
    audit(settings, warnings);
    if settings.is_replica() && settings.store.nsc.is_some() {
        return Err(ConfigError::Conflict(
            "replicas cannot be run in NSC mode: remove store.nsc or primary".to_owned(),
        ));
    }
    if settings.store.readonly && settings.store.dir.is_none() && settings.store.nsc.is_none() {
        warnings.push("store.readonly has no effect, because store.dir is not set".to_owned());
    }
    if settings.store.require_existing && settings.store.dir.is_none() && settings.store.state_dir.is_none() {
        warnings.push("store.require_existing has no effect, because store.dir is not set".to_owned());
    }
    Ok(())
}

/// A certificate is of no use without its key, nor a key without its certificate.
fn together(section: &str, tls: &Tls) -> Result<(), ConfigError> {
    let missing = match (&tls.cert, &tls.key) {
        (Some(_), None) => "key",
        (None, Some(_)) => "cert",
        _ => return Ok(()),
    };
    Err(ConfigError::Conflict(format!(
        "{section}.cert and {section}.key are needed together, but {section}.{missing} is not set"
    )))
}

/// A section about TLS that configures nothing is a slip, after which a port would speak in the clear. `sections`: those that
/// the file has, and where.
pub(super) fn tls_sections(settings: &Settings, sections: &[(String, String)]) -> Result<(), ConfigError> {
    for (section, origin) in sections {
        let (is_empty, needed) = match section.as_str() {
            "http.tls" => (!settings.http.tls.is_on(), "cert and key, without which this server speaks plain HTTP,"),
            "admin.tls" => (!settings.admin.tls.is_on(), "cert and key, without which admin.listen speaks plain HTTP,"),
            "nats.tls" => (settings.nats.tls.is_empty(), "root, or cert and key,"),
            "replica.tls" => (settings.replica.tls.is_empty(), "root, or cert and key,"),
            _ => continue,
        };
        if is_empty {
            return Err(ConfigError::Conflict(format!(
                "{origin}: the section {section} configures nothing: set {needed} or remove the section"
            )));
        }
    }
    for (section, tls) in [("http.tls", &settings.http.tls), ("admin.tls", &settings.admin.tls)] {
        if tls.root.is_some() && !tls.is_on() {
            return Err(ConfigError::Conflict(format!(
                "{section}.root is set, but {section}.cert and {section}.key are not: this server would speak plain HTTP"
            )));
        }
    }
    Ok(())
}

/// A server that must require client certificates must not run without them.
fn client_auth(section: &str, tls: &HttpTls) -> Result<(), ConfigError> {
    let word = match tls.client_auth {
        Some(ClientAuth::Optional) => "optional",
        Some(ClientAuth::Required) => "required",
        Some(ClientAuth::Off) | None => return Ok(()),
    };
    let missing = if !tls.is_on() {
        "cert is not set: without HTTPS there are no client certificates"
    } else if tls.root.is_none() {
        "root is not set: it names the file with the authorities of the clients' certificates"
    } else {
        return Ok(());
    };
    Err(ConfigError::Conflict(format!("{section}.client_auth is {word}, but {section}.{missing}")))
}

/// Whether the listener for operators can be what its settings say.
fn admin(admin: &Admin, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    match &admin.listen {
        None if admin.tls.is_on() => {
            warnings.push("admin.tls has no effect, because admin.listen is not set".to_owned());
            Ok(())
        }
        Some(ListenAddress::Unix(_)) if admin.tls.is_on() => Err(ConfigError::Conflict(
            "admin.tls is set, but admin.listen is a Unix socket, which only this machine reaches: remove admin.tls"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Entries of access for certificates need certificates.
fn certificates(settings: &Settings, warnings: &mut Vec<String>) {
    if settings.access.certificates.is_empty() {
        return;
    }
    let reason = if !settings.http.tls.is_on() {
        "http.tls.cert is not set: without HTTPS there are no client certificates"
    } else if settings.http.tls.client_auth() == ClientAuth::Off {
        "http.tls asks clients for no certificate: set http.tls.root"
    } else {
        return;
    };
    warnings.push(format!("access.certificates has no effect, because {reason}"));
}

/// A network of all addresses is rarely meant.
fn trusted_proxies(http: &Http, warnings: &mut Vec<String>) {
    for network in http.trusted_proxies.iter().filter(|network| network.prefix_len() == 0) {
        warnings.push(format!(
            "http.trusted_proxies contains {network}: every client can claim any address; list only the proxies"
        ));
    }
}

/// How a replica authenticates itself.
fn towards_primary(settings: &Settings, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    let primaries = &settings.primary;
    if settings.replica.token.is_some() && primaries.iter().any(|primary| urls::has_login(primary)) {
        return Err(ConfigError::Conflict(
            "replica.token and a user name in the primary's URL exclude each other: a request carries only one of them"
                .to_owned(),
        ));
    }
    for (place, primary) in primaries.iter().enumerate() {
        if primaries[..place].contains(primary) {
            warnings.push(format!("primary names {} more than once", urls::without_password(primary)));
        }
    }
    let is_https = |primary: &&String| primary.to_ascii_lowercase().starts_with("https:");
    let https = primaries.iter().filter(is_https).count();
    if https > 0 && https < primaries.len() {
        warnings.push(
            "primary mixes https and http: if the https servers fail, requests, passwords and tokens go over the \
             network unencrypted"
                .to_owned(),
        );
    }
    if https == 0 && !primaries.is_empty() && !settings.replica.tls.is_empty() {
        warnings.push("replica.tls has no effect, because the primary's URL does not begin with https".to_owned());
    }
    Ok(())
}

/// The connection has one user, whichever server it leads to: servers that are found later have no URL here.
fn one_nats_login(servers: &[String]) -> Result<(), ConfigError> {
    let mut logins = servers.iter().filter_map(|server| urls::Login::of_nats_server(server));
    let first = logins.next();
    if logins.any(|login| Some(login) != first) {
        return Err(ConfigError::Conflict(
            "the addresses in nats.servers name different users or tokens, but one is used for all servers; give the \
             same one everywhere, or give it once"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Whether the pack of another server can be imported.
fn import_from(settings: &Settings, warnings: &mut Vec<String>) {
    let store = &settings.store;
    let reason = if settings.is_replica() {
        "this server is a replica: it gets everything from its primary"
    } else if store.nsc.is_some() {
        "store.nsc is set: that folder is read-only"
    } else if store.readonly && store.dir.is_some() {
        "store.readonly is set: that folder is read-only"
    } else {
        return;
    };
    if store.import_from.is_some() {
        warnings.push(format!("store.import_from has no effect, because {reason}"));
    }
}

/// Whether the settings of the audit log have an effect.
fn audit(settings: &Settings, warnings: &mut Vec<String>) {
    let Audit { path, on_failure } = &settings.audit;
    if settings.is_replica() && path.is_some() {
        warnings.push(
            "audit.path has no effect, because this server is a replica: its primary decides about changes, and audits them"
                .to_owned(),
        );
    }
    if path.is_none() && *on_failure == AuditFailure::Refuse {
        warnings.push("audit.on_failure has no effect, because audit.path is not set".to_owned());
    }
}

/// Whether the settings of the signing service have an effect.
fn signing(settings: &Settings, warnings: &mut Vec<String>) {
    let (nats, store) = (&settings.nats, &settings.store);
    if nats.sign_request_subject.is_none() {
        if nats.sign_request_timeout != Settings::default().nats.sign_request_timeout {
            warnings.push(
                "nats.sign_request_timeout has no effect, because nats.sign_request_subject is not set".to_owned(),
            );
        }
        return;
    }
    let reason = if settings.is_replica() {
        "this server is a replica: accounts are pushed to its primary, which asks the signing service"
    } else if store.nsc.is_some() {
        "store.nsc is set: nothing can be pushed to a read-only folder"
    } else if store.readonly && store.dir.is_some() {
        "store.readonly is set: nothing can be pushed to a read-only folder"
    } else if nats.servers.is_empty() {
        "nats.servers is empty: NATS is not used"
    } else if settings.operator.is_none() {
        "operator is not set: no JWT can be accepted"
    } else {
        return;
    };
    warnings.push(format!("nats.sign_request_subject has no effect, because {reason}"));
}
