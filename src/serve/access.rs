//! Access to the server: its address, the host names it answers to, the clients' token, and the
//! origins that CORS allows.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::Uri;

use crate::env::Token;
use crate::error::{Error, Result};

/// Address and access rules of a server.
pub struct BindOptions {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port; 0 for any that is free.
    pub port: u16,
    /// Token that clients have to send.
    pub token: Option<Token>,
    /// Host names that the server answers to besides its addresses.
    pub names: Vec<String>,
    /// Origins of foreign pages that may use this server (CORS).
    pub cors: Vec<String>,
}

/// Access rules that each request is checked against.
#[derive(Debug, Default)]
pub(crate) struct AccessRules {
    pub(crate) token: Option<Token>,
    origins: Vec<String>,
    addresses: AllowedAddresses,
    names: Vec<String>,
}

/// Hosts allowed in the `Host` header, besides the named ones. A page whose own name was pointed at
/// this machine's address (DNS rebinding) sends that name, and nothing else distinguishes it from
/// the server's own page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AllowedAddresses {
    /// Every address and every name.
    #[default]
    AnyHost,
    /// Loopback addresses of this machine.
    Loopback,
    /// Any address: unlike a name, an address cannot be pointed at this machine by somebody else.
    AnyAddress,
}

impl AccessRules {
    /// The access rules of `bind`. Fails on a name that is not a host name, and on an origin that
    /// no browser would send.
    pub(crate) fn new(bind: &BindOptions) -> Result<Self> {
        let addresses = match &bind.token {
            // A client with the token is not a foreign page.
            Some(_) if bind.names.is_empty() => AllowedAddresses::AnyHost,
            None if bind.host.is_loopback() => AllowedAddresses::Loopback,
            _ => AllowedAddresses::AnyAddress,
        };
        let names = bind.names.iter().map(|name| parse_host_name(name));
        let origins = bind.cors.iter().map(|origin| parse_origin(origin));
        Ok(Self {
            token: bind.token.clone(),
            addresses,
            names: names.collect::<Result<_>>()?,
            origins: origins.collect::<Result<_>>()?,
        })
    }

    /// Returns true if a `Host` header (`name`, `name:port`, `[address]:port`) names this server.
    pub(crate) fn allows_host(&self, host: &str) -> bool {
        let name = host_name_of(host).trim_end_matches('.').to_lowercase();
        let without_zone = name.split('%').next().unwrap_or_default();
        let is_named = name == "localhost" || self.names.contains(&name);
        match (self.addresses, without_zone.parse::<IpAddr>()) {
            (AllowedAddresses::AnyHost, _) | (AllowedAddresses::AnyAddress, Ok(_)) => true,
            (AllowedAddresses::Loopback, Ok(address)) => address.to_canonical().is_loopback(),
            (AllowedAddresses::Loopback | AllowedAddresses::AnyAddress, Err(_)) => is_named,
        }
    }

    /// Returns true if CORS allows pages of this origin.
    pub(crate) fn allows_origin(&self, origin: &[u8]) -> bool {
        let mut allowed = self.origins.iter();
        allowed.any(|allowed| allowed.as_bytes() == origin)
    }
}

/// The host name of a `host:port`.
pub(crate) fn host_name_of(host: &str) -> &str {
    let end = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    end.unwrap_or_default()
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        (1..=63).contains(&label.len())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn parse_host_name(name: &str) -> Result<String> {
    let plain = name.strip_suffix('.').unwrap_or(name);
    if is_host_name(plain) {
        return Ok(plain.to_lowercase());
    }
    let error = Error::expected("allow_host", "a name such as `images.example.org`", name);
    let without_scheme = name.split_once("://").map_or(name, |(_, rest)| rest);
    match without_scheme.split(['/', ':']).next() {
        Some(near) if near != name && is_host_name(near) => {
            Err(error.hint(format!("did you mean `{near}`?")))
        }
        _ => Err(error.hint("the name alone: no scheme, no port, no path")),
    }
}

/// An origin as browsers send it: scheme, host, and a port that is not the scheme's own, all in
/// lower case.
fn parse_origin(origin: &str) -> Result<String> {
    let error = Error::expected("cors", "an origin such as `http://localhost:3000`", origin);
    if origin == "*" {
        let hint = "name the origins one by one: any page could use this server otherwise";
        return Err(error.hint(hint));
    }
    match origin_of(origin) {
        Some(sent) if sent == origin => Ok(sent),
        Some(sent) => Err(error.hint(format!("browsers send `{sent}`"))),
        None => {
            Err(error.hint("scheme and host, and the port if it is not the usual one; no path"))
        }
    }
}

/// Origin that browsers send for pages at `url`; `None` if it is not a valid URL.
fn origin_of(url: &str) -> Option<String> {
    let uri: Uri = url.to_lowercase().parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase());
    let is_host = match host.strip_prefix('[') {
        Some(_) => host_name_of(host).parse::<Ipv6Addr>().is_ok(),
        None => is_host_name(host),
    };
    // A user name before the host is not part of an origin.
    let after_host = uri.authority()?.as_str().strip_prefix(host)?;
    let port = match after_host.strip_prefix(':') {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        None => None,
    };
    if !is_scheme || !is_host {
        return None;
    }
    match (scheme, port) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => Some(format!("{scheme}://{host}")),
        (_, Some(port)) => Some(format!("{scheme}://{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(host: &str, token: bool, names: &[&str]) -> BindOptions {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let token = token.then(|| Token::new("t").unwrap());
        BindOptions {
            host: host.parse().unwrap(),
            port: 0,
            token,
            names: texts(names),
            cors: Vec::new(),
        }
    }

    fn answers(bind: &BindOptions, hosts: &[&str]) -> Vec<bool> {
        let guard = AccessRules::new(bind).unwrap();
        hosts.iter().map(|host| guard.allows_host(host)).collect()
    }

    const OWN: &[&str] = &[
        "localhost:7860",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "127.3.2.1:1",
        "[::1]:7860",
    ];
    const ADDRESSES: &[&str] = &[
        "192.168.1.5:7860",
        "10.0.0.1",
        "[fe80::1%25eth0]:7860",
        "[2001:db8::1]",
    ];
    const NAMES: &[&str] = &[
        "evil.example:7860",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "",
        "[evil]",
        "sdgen",
        "0x7f.1",
    ];

    #[test]
    fn a_server_of_this_machine_alone_answers_to_its_own_names() {
        let bind = bind("127.0.0.1", false, &["images.lan"]);
        assert!(answers(&bind, OWN).iter().all(|is| *is));
        assert!(
            answers(&bind, &[ADDRESSES, NAMES].concat())
                .iter()
                .all(|is| !is)
        );
        assert_eq!(
            answers(&bind, &["Images.LAN:80", "images.lan.", "other.lan"]),
            [true, true, false]
        );
    }

    #[test]
    fn an_open_server_answers_to_addresses_and_to_the_names_that_are_allowed() {
        let bind = bind("0.0.0.0", false, &["sdgen"]);
        assert!(
            answers(&bind, &[OWN, ADDRESSES].concat())
                .iter()
                .all(|is| *is)
        );
        let refused: Vec<bool> = answers(&bind, NAMES);
        assert_eq!(
            refused.iter().filter(|is| **is).count(),
            1,
            "`sdgen` alone: {refused:?}"
        );
    }

    #[test]
    fn a_token_is_enough_unless_names_are_given() {
        assert!(
            answers(
                &bind("0.0.0.0", true, &[]),
                &[OWN, ADDRESSES, NAMES].concat()
            )
            .iter()
            .all(|is| *is)
        );
        assert_eq!(
            answers(
                &bind("0.0.0.0", true, &["a.b"]),
                &["a.b", "c.d", "10.1.1.1"]
            ),
            [true, false, true]
        );
    }

    #[test]
    fn names_and_origins_are_checked() {
        for name in [
            "",
            "http://a.b",
            "a.b:80",
            "a b",
            "*",
            "*.a.b",
            "a..b",
            "ü.de",
        ] {
            let error = AccessRules::new(&bind("0.0.0.0", false, &[name])).unwrap_err();
            assert_eq!(error.field_name(), Some("allow_host"), "{name}");
        }
        for origin in [
            "http://localhost:3000",
            "https://a.example",
            "http://[::1]:8080",
            "http://10.0.0.1",
            "tauri://localhost",
            "chrome-extension://abcdefghijklmnop",
        ] {
            assert_eq!(parse_origin(origin).unwrap(), origin);
        }
        for (origin, near) in [
            ("http://localhost:3000/", "http://localhost:3000"),
            ("https://a.example/path?x#y", "https://a.example"),
            ("HTTP://A.Example", "http://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("http://[::1]:80/", "http://[::1]"),
        ] {
            let error = parse_origin(origin).unwrap_err();
            assert!(
                error.field_name() == Some("cors") && error.hints()[0].contains(near),
                "{origin}: {error:?}"
            );
        }
        for origin in [
            "",
            "*",
            "null",
            "localhost:3000",
            "http://",
            "http://a b",
            "http://a:0",
            "http://a:99999",
            "http://*.a",
            "http://me@a",
            "://a",
            "http:/a",
            "http://a,http://b",
        ] {
            assert_eq!(
                parse_origin(origin).unwrap_err().field_name(),
                Some("cors"),
                "{origin}"
            );
        }
    }
}
