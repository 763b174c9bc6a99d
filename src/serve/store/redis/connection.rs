//! Connections to Redis: opened on demand, reused, and reopened when they break. Error messages do
//! not contain the password.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
};

use crate::error::{Error, Kind, Result};

/// Timeout for connecting to Redis.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout for a reply of Redis.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pool of connections to Redis.
pub(super) struct ConnectionPool {
    client: Client,
    /// Address of the server, for messages.
    address: String,
    idle: Mutex<Vec<Connection>>,
}

impl ConnectionPool {
    /// A pool for `url`; no connection is opened yet.
    pub(super) fn new(url: &str) -> Result<Self> {
        let invalid = |e: RedisError| {
            Error::field("queue", "is not the URL of a Redis server")
                .source(e.to_string())
                .hint("expected `redis://[[user:]password@]host[:port][/db]` or `redis+unix:///path?db=0`")
        };
        if url.starts_with("rediss:") {
            return Err(
                Error::field("queue", "connections to Redis are not encrypted")
                    .hint("reach it through a tunnel or a private network: `redis://host:6379`"),
            );
        }
        let info = url.into_connection_info().map_err(invalid)?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("{host}:{port}"),
            ConnectionAddr::Unix(path) => path.display().to_string(),
            other @ (ConnectionAddr::TcpTls { .. } | _) => other.to_string(),
        };
        Ok(Self {
            client: Client::open(info).map_err(invalid)?,
            address,
            idle: Mutex::default(),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection outside the pool.
    pub(super) fn connect(&self) -> Result<Connection> {
        self.open_connection().map_err(|e| self.describe_error(&e))
    }

    fn open_connection(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
        connection.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        connection.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
        Ok(connection)
    }

    /// Runs a query that may be repeated: if the connection breaks, it is sent again on another.
    pub(super) fn query<T>(
        &self,
        mut work: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T> {
        let idle = self.idle().pop();
        if let Some(mut connection) = idle {
            match work(&mut connection) {
                Err(error) if is_broken(&error) => self.idle().clear(),
                result => return self.return_connection(connection, result),
            }
        }
        let mut connection = self.connect()?;
        let result = work(&mut connection);
        self.return_connection(connection, result)
    }

    fn return_connection<T>(&self, connection: Connection, result: RedisResult<T>) -> Result<T> {
        if result.as_ref().err().is_none_or(|error| !is_broken(error)) {
            self.idle().push(connection);
        }
        result.map_err(|e| self.describe_error(&e))
    }

    /// Explains an error of Redis.
    fn describe_error(&self, error: &RedisError) -> Error {
        let address = &self.address;
        let is_refused = error.kind() == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
        let (what, hint) = if is_refused {
            (
                "rejects the user name or the password",
                "put them into the address: `redis://user:password@host`",
            )
        } else if is_broken(error) {
            ("is out of reach", "is it running, and is this its address?")
        } else {
            (
                "returned an error",
                "Redis 6.2 or newer is needed, with memory left and leave to write",
            )
        };
        Error::new(Kind::Network, format!("Redis at `{address}` {what}"))
            .source(error.to_string())
            .hint(hint)
    }
}

/// Returns true if the connection can no longer be used.
fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_io_error() || error.is_connection_dropped()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_passwords_are_not_reported() {
        for url in [
            "redis://h",
            "redis://u:secret@h:7/2",
            "redis+unix:///run/redis.sock?db=1",
        ] {
            assert!(ConnectionPool::new(url).is_ok(), "{url}");
        }
        for url in ["rediss://h", "http://h", "redis://"] {
            assert_eq!(
                ConnectionPool::new(url).err().unwrap().field_name(),
                Some("queue"),
                "{url}"
            );
        }
        let pool = ConnectionPool::new("redis://u:secret@127.0.0.1:1/0").unwrap();
        let error = pool.connect().err().unwrap();
        assert_eq!(error.kind(), Kind::Network);
        assert!(
            error
                .to_string()
                .starts_with("Redis at `127.0.0.1:1` is out of reach"),
            "{error}"
        );
    }
}
