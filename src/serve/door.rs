//! Access to the server: its address, the host names it answers to, the clients' token, and the
//! origins that CORS allows.

use std::net::IpAddr;

use crate::env::Token;
use crate::error::{Error, Result};

/// Address and access rules of a server.
pub struct Door {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port; 0 for any that is free.
    pub port: u16,
    /// Token that clients have to present.
    pub token: Option<Token>,
    /// Host names that the server answers to besides its addresses.
    pub names: Vec<String>,
    /// Origins of foreign pages that may use this server (CORS).
    pub cors: Vec<String>,
}

/// Access rules that each request is checked against.
#[derive(Debug, Default)]
pub(super) struct Guard {
    pub(super) token: Option<Token>,
    origins: Vec<String>,
    hosts: Hosts,
}

/// Hosts allowed in the `Host` header. A page whose own name was pointed at this machine's address
/// (DNS rebinding) sends that name, and nothing else distinguishes it from the server's own page.
#[derive(Debug, Default)]
struct Hosts {
    /// Addresses that count as this server's; `None` allows every address and name.
    addresses: Option<Addresses>,
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addresses {
    /// Loopback addresses of this machine.
    Loopback,
    /// Any address: unlike a name, an address cannot be pointed at this machine by somebody else.
    All,
}

impl Guard {
    /// The access rules of `door`.
    ///
    /// # Errors
    /// A name that is not a host name, or an origin that no browser would send.
    pub(super) fn new(door: &Door) -> Result<Self> {
        let addresses = match (&door.token, door.host.is_loopback()) {
            // A client with the token is not a foreign page.
            (Some(_), _) if door.names.is_empty() => None,
            (None, true) => Some(Addresses::Loopback),
            _ => Some(Addresses::All),
        };
        let names = door
            .names
            .iter()
            .map(|name| host_name(name))
            .collect::<Result<_>>()?;
        let origins = door
            .cors
            .iter()
            .map(|origin| checked(origin))
            .collect::<Result<_>>()?;
        Ok(Self {
            token: door.token.clone(),
            origins,
            hosts: Hosts { addresses, names },
        })
    }

    /// Returns true if a `Host` header (`name`, `name:port`, `[address]:port`) names this server.
    pub(super) fn answers_to(&self, host: &str) -> bool {
        let Hosts { addresses, names } = &self.hosts;
        let Some(addresses) = addresses else {
            return true;
        };
        let name = name_of(host).trim_end_matches('.').to_lowercase();
        let address = name
            .split('%')
            .next()
            .and_then(|name| name.parse::<IpAddr>().ok());
        match address {
            Some(address) => *addresses == Addresses::All || address.to_canonical().is_loopback(),
            None => name == "localhost" || names.contains(&name),
        }
    }

    /// Returns true if CORS allows pages of this origin.
    pub(super) fn lists(&self, origin: &[u8]) -> bool {
        self.origins
            .iter()
            .any(|listed| listed.as_bytes() == origin)
    }
}

/// The host name of a `host:port`.
pub(super) fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn host_name(name: &str) -> Result<String> {
    let plain = name.strip_suffix('.').unwrap_or(name);
    if is_name(plain) {
        return Ok(plain.to_lowercase());
    }
    let error = Error::expected("allow_host", "a name such as `images.example.org`", name);
    Err(
        match name
            .split_once("://")
            .map_or(name, |(_, rest)| rest)
            .split(['/', ':'])
            .next()
        {
            Some(near) if near != name && is_name(near) => {
                error.hint(format!("did you mean `{near}`?"))
            }
            _ => error.hint("the name alone: no scheme, no port, no path"),
        },
    )
}

/// An origin as browsers send it: scheme, host, and a port that is not the scheme's own, all in
/// lower case.
fn checked(origin: &str) -> Result<String> {
    let wrong = || Error::expected("cors", "an origin such as `http://localhost:3000`", origin);
    if origin == "*" {
        return Err(
            wrong().hint("name the origins one by one: any page could use this server otherwise")
        );
    }
    match sent(origin) {
        Some(sent) if sent == origin => Ok(sent),
        Some(sent) => Err(wrong().hint(format!("browsers send `{sent}`"))),
        None => {
            Err(wrong().hint("scheme and host, and the port if it is not the usual one; no path"))
        }
    }
}

/// Origin that browsers send for pages at `url`; `None` if it is not a valid URL.
fn sent(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (scheme, rest) = (
        scheme.to_lowercase(),
        rest.split(['/', '?', '#']).next()?.to_lowercase(),
    );
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let name = name_of(&rest);
    let (host, is_host) = match rest.starts_with('[') {
        true => (
            format!("[{name}]"),
            name.parse::<std::net::Ipv6Addr>().is_ok(),
        ),
        false => (name.to_owned(), is_name(name)),
    };
    let port = rest.strip_prefix(&host)?;
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
    };
    let usual = [("http", 80), ("https", 443)]
        .into_iter()
        .find(|row| row.0 == scheme)
        .map(|row| row.1);
    let port = port
        .filter(|port| Some(*port) != usual)
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    (is_scheme && is_host).then(|| format!("{scheme}://{host}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(host: &str, token: bool, names: &[&str]) -> Door {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let token = token.then(|| Token::new("t").unwrap());
        Door {
            host: host.parse().unwrap(),
            port: 0,
            token,
            names: texts(names),
            cors: Vec::new(),
        }
    }

    fn answers(door: &Door, hosts: &[&str]) -> Vec<bool> {
        let guard = Guard::new(door).unwrap();
        hosts.iter().map(|host| guard.answers_to(host)).collect()
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
        let door = door("127.0.0.1", false, &["images.lan"]);
        assert!(answers(&door, OWN).iter().all(|is| *is));
        assert!(
            answers(&door, &[ADDRESSES, NAMES].concat())
                .iter()
                .all(|is| !is)
        );
        assert_eq!(
            answers(&door, &["Images.LAN:80", "images.lan.", "other.lan"]),
            [true, true, false]
        );
    }

    #[test]
    fn an_open_server_answers_to_addresses_and_to_the_names_that_are_allowed() {
        let door = door("0.0.0.0", false, &["sdgen"]);
        assert!(
            answers(&door, &[OWN, ADDRESSES].concat())
                .iter()
                .all(|is| *is)
        );
        let refused: Vec<bool> = answers(&door, NAMES);
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
                &door("0.0.0.0", true, &[]),
                &[OWN, ADDRESSES, NAMES].concat()
            )
            .iter()
            .all(|is| *is)
        );
        assert_eq!(
            answers(
                &door("0.0.0.0", true, &["a.b"]),
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
            let error = Guard::new(&door("0.0.0.0", false, &[name])).unwrap_err();
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
            assert_eq!(checked(origin).unwrap(), origin);
        }
        for (origin, near) in [
            ("http://localhost:3000/", "http://localhost:3000"),
            ("https://a.example/path?x#y", "https://a.example"),
            ("HTTP://A.Example", "http://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("http://[::1]:80/", "http://[::1]"),
        ] {
            let error = checked(origin).unwrap_err();
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
                checked(origin).unwrap_err().field_name(),
                Some("cors"),
                "{origin}"
            );
        }
    }
}
