//! Connections to Redis: opened on demand, reused, and reopened when they break. Errors of Redis
//! are reported in this program's words, without the password.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
};

use crate::error::{Error, Kind, Result};

/// Timeout for connecting to Redis.
const CONNECT: Duration = Duration::from_secs(3);
/// Timeout for an answer of Redis.
const ANSWER: Duration = Duration::from_secs(10);

/// Pool of connections to Redis.
pub(super) struct Link {
    client: Client,
    /// Its address, for messages.
    name: String,
    idle: Mutex<Vec<Connection>>,
}

impl Link {
    /// The way to `url`; nothing is opened yet.
    ///
    /// # Errors
    /// No address of Redis.
    pub(super) fn new(url: &str) -> Result<Self> {
        let wrong = |e: RedisError| {
            Error::field("queue", "is no address of Redis")
                .source(e.to_string())
                .hint("expected `redis://[[user:]password@]host[:port][/db]` or `redis+unix:///path?db=0`")
        };
        if url.starts_with("rediss:") {
            return Err(
                Error::field("queue", "connections to Redis are not encrypted")
                    .hint("reach it through a tunnel or a private network: `redis://host:6379`"),
            );
        }
        let info = url.into_connection_info().map_err(wrong)?;
        let name = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("{host}:{port}"),
            ConnectionAddr::Unix(path) => path.display().to_string(),
            other @ (ConnectionAddr::TcpTls { .. } | _) => other.to_string(),
        };
        Ok(Self {
            client: Client::open(info).map_err(wrong)?,
            name,
            idle: Mutex::default(),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection outside the pool.
    ///
    /// # Errors
    /// Redis is out of reach, or refuses.
    pub(super) fn connect(&self) -> Result<Connection> {
        self.dial().map_err(|e| self.told(&e))
    }

    fn dial(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(CONNECT)?;
        connection.set_read_timeout(Some(ANSWER))?;
        connection.set_write_timeout(Some(ANSWER))?;
        Ok(connection)
    }

    /// Runs a query that may be repeated: if the connection breaks, it is sent again on another.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) fn ask<T>(
        &self,
        mut work: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T> {
        let kept = self.idle().pop();
        if let Some(mut connection) = kept {
            match work(&mut connection) {
                Err(error) if broken(&error) => self.idle().clear(),
                result => return self.done(connection, result),
            }
        }
        let mut connection = self.connect()?;
        let result = work(&mut connection);
        self.done(connection, result)
    }

    fn done<T>(&self, connection: Connection, result: RedisResult<T>) -> Result<T> {
        if result.as_ref().err().is_none_or(|error| !broken(error)) {
            self.idle().push(connection);
        }
        result.map_err(|e| self.told(&e))
    }

    /// Converts an error of Redis to this program's words.
    pub(super) fn told(&self, error: &RedisError) -> Error {
        let name = &self.name;
        let refused = error.kind() == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
        let (what, hint) = if refused {
            (
                "refuses the name or the password",
                "put them into the address: `redis://user:password@host`",
            )
        } else if broken(error) {
            ("is out of reach", "is it running, and is this its address?")
        } else {
            (
                "answers with a failure",
                "Redis 6.2 or newer is needed, with memory left and leave to write",
            )
        };
        let text = error.to_string();
        Error::new(Kind::Network, format!("Redis at `{name}` {what}"))
            .source(text)
            .hint(hint)
    }
}

/// Returns true if the connection can no longer be used.
fn broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_io_error() || error.is_connection_dropped()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_passwords_never_told() {
        for url in [
            "redis://h",
            "redis://u:secret@h:7/2",
            "redis+unix:///run/redis.sock?db=1",
        ] {
            assert!(Link::new(url).is_ok(), "{url}");
        }
        for url in ["rediss://h", "http://h", "redis://"] {
            assert_eq!(
                Link::new(url).err().unwrap().field_name(),
                Some("queue"),
                "{url}"
            );
        }
        let link = Link::new("redis://u:secret@127.0.0.1:1/0").unwrap();
        let error = link.connect().err().unwrap();
        assert_eq!(error.kind(), Kind::Network);
        assert!(
            error
                .to_string()
                .starts_with("Redis at `127.0.0.1:1` is out of reach"),
            "{error}"
        );
    }
}
