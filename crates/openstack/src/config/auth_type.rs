//! Which proof of identity a configuration means: `auth_type` of keystoneauth's plugins
//! (<https://docs.openstack.org/keystoneauth/latest/plugin-options.html>).

use openstack_sdk_core::config::Auth;

use super::ConfigError;

/// What is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Password,
    ApplicationCredential,
}

const CREDENTIAL: &str =
    "make an application credential (`openstack application credential create`, or in Horizon) and use that";

/// # Errors
/// [`ConfigError::Setting`] that says what to use instead of a type that is not supported.
pub(super) fn proof(auth_type: Option<&str>, auth: &Auth) -> Result<Proof, ConfigError> {
    let refuse = |setting, reason: &str| Err(ConfigError::setting(setting, reason));
    let Some(name) = auth_type else {
        return match auth {
            auth if auth.application_credential_secret.is_some() => Ok(Proof::ApplicationCredential),
            auth if auth.passcode.is_some() => refuse("passcode", &more_than_one()),
            auth if auth.password.is_none() && auth.token.is_some() => refuse("token", &token()),
            _ => Ok(Proof::Password),
        };
    };
    let reason = match name {
        "v3applicationcredential" => return Ok(Proof::ApplicationCredential),
        "password" | "v3password" if auth.passcode.is_some() => more_than_one(),
        "password" | "v3password" => return Ok(Proof::Password),
        "token" | "v3token" => token(),
        "v3totp" | "v3multifactor" => more_than_one(),
        "v2password" | "v2token" => "version 2 of Keystone's API is gone: use password".to_owned(),
        "none" | "noauth" | "http_basic" | "v3tokenlessauth" | "admin_token" => {
            "gives no token of a user: use password or v3applicationcredential".to_owned()
        }
        name if is_federated(name) => {
            format!("the login is another service's, which needs a browser or its own client: {CREDENTIAL}")
        }
        _ => "is not known: use password or v3applicationcredential".to_owned(),
    };
    refuse("auth_type", &format!("{name:?} is not supported: {reason}"))
}

/// OpenID Connect in all its ways, SAML, ADFS, Kerberos, OAuth.
fn is_federated(name: &str) -> bool {
    let families = [
        "v3oidc",
        "v3saml",
        "v3adfs",
        "v3kerberos",
        "v3fedkerb",
        "v3oauth",
        "v3websso",
    ];
    families.iter().any(|family| name.starts_with(family))
}

fn more_than_one() -> String {
    format!(
        "logins with more than one proof (MFA) are not supported, since somebody would have to type at every renewal: {CREDENTIAL}"
    )
}

fn token() -> String {
    format!("a token (OS_TOKEN) cannot be renewed when it ends: {CREDENTIAL}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(auth_type: Option<&str>, auth: &Auth) -> String {
        proof(auth_type, auth).unwrap_err().to_string()
    }

    fn with(change: impl FnOnce(&mut Auth)) -> Auth {
        let mut auth = Auth::default();
        change(&mut auth);
        auth
    }

    #[test]
    fn what_is_supported_is_found_with_and_without_a_type() {
        let secret = with(|auth| auth.application_credential_secret = Some("s".into()));
        let password = with(|auth| auth.password = Some("p".into()));
        // Variables of an earlier login may be left over.
        let both = with(|auth| (auth.password, auth.token) = (Some("p".into()), Some("t".into())));
        for (auth_type, auth, expected) in [
            (None, &secret, Proof::ApplicationCredential),
            (None, &password, Proof::Password),
            (None, &both, Proof::Password),
            (None, &Auth::default(), Proof::Password),
            (Some("password"), &both, Proof::Password),
            (Some("v3password"), &secret, Proof::Password),
            (Some("v3applicationcredential"), &password, Proof::ApplicationCredential),
        ] {
            assert_eq!(proof(auth_type, auth).unwrap(), expected, "{auth_type:?}");
        }
    }

    #[test]
    fn every_other_type_is_refused_with_a_way_out() {
        let way_out = "application credential create";
        for (name, says) in [
            ("v3token", "cannot be renewed"),
            ("token", "cannot be renewed"),
            ("v3totp", "MFA"),
            ("v3multifactor", "MFA"),
            ("v3oidcpassword", "browser"),
            ("v3oidcdeviceauthz", "browser"),
            ("v3oidcauthcode", "browser"),
            ("v3oidcclientcredentials", "browser"),
            ("v3oidcaccesstoken", "browser"),
            ("v3samlpassword", "browser"),
            ("v3adfspassword", "browser"),
            ("v3kerberos", "browser"),
            ("v3oauth2clientcredential", "browser"),
        ] {
            let text = reason(Some(name), &Auth::default());
            assert!(
                text.contains(name) && text.contains(says) && text.contains(way_out),
                "{text}"
            );
        }
        for (name, says) in [
            ("v2password", "use password"),
            ("none", "use password or"),
            ("http_basic", "use password or"),
            ("keystone", "is not known"),
        ] {
            let text = reason(Some(name), &Auth::default());
            assert!(text.contains("is not supported") && text.contains(says), "{text}");
        }
    }

    #[test]
    fn proofs_that_are_not_supported_are_noticed_without_a_type_and_never_shown() {
        let token = with(|auth| auth.token = Some("hunter2".into()));
        let passcode = with(|auth| (auth.password, auth.passcode) = (Some("hunter2".into()), Some("123456".into())));
        for (auth_type, auth, says) in [
            (None, &token, "OS_TOKEN"),
            (None, &passcode, "MFA"),
            (Some("password"), &passcode, "MFA"),
        ] {
            let text = reason(auth_type, auth);
            assert!(
                text.contains(says) && !text.contains("hunter2") && !text.contains("123456"),
                "{text}"
            );
        }
    }
}
