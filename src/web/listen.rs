//! Listen addresses in the notation of the exporters (Go's `net.Listen`).

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;

use listenfd::ListenFd;

use super::WebError;

/// Where to listen: a port on one host or address, or on all addresses of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address without brackets; absent for all addresses.
    host: Option<String>,
    port: u16,
}

impl ListenAddress {
    /// All addresses of the machine, IPv6 and IPv4; port 0 lets the kernel choose.
    pub const fn any(port: u16) -> Self {
        Self { host: None, port }
    }
}

impl ListenAddress {
    /// Where this machine itself reaches whoever listens here: on loopback, where that is on all addresses. Resolves
    /// names, so it may block.
    ///
    /// # Errors
    /// The name isn't known.
    pub fn reachable(&self) -> io::Result<Vec<SocketAddr>> {
        let loopback = [
            SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, self.port)),
        ];
        let Some(host) = &self.host else {
            return Ok(loopback.to_vec());
        };
        let mut addresses: Vec<SocketAddr> = (host.as_str(), self.port).to_socket_addrs()?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let on_this_machine = |address: SocketAddr| {
            let own = loopback.iter().find(|own| own.is_ipv6() == address.is_ipv6());
            own.copied().filter(|_| address.ip().is_unspecified()).unwrap_or(address)
        };
        Ok(addresses.into_iter().map(on_this_machine).collect())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(formatter, ":{}", self.port),
            Some(host) if host.contains(':') => write!(formatter, "[{host}]:{}", self.port),
            Some(host) => write!(formatter, "{host}:{}", self.port),
        }
    }
}

/// Parses `:10125`, `localhost:10125`, `127.0.0.1:0` or `[::1]:10125`.
///
/// # Errors
/// [`WebError::Address`] for anything else. Whether a host name exists shows at [`bind`] only.
pub fn parse_listen(value: &str) -> Result<ListenAddress, WebError> {
    let wrong = |problem| WebError::Address { value: value.to_owned(), problem };
    let (host, port) = value.rsplit_once(':').ok_or_else(|| wrong("expected HOST:PORT or :PORT"))?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("the port must be a number from 0 to 65535"));
    }
    let port = port.parse().map_err(|_| wrong("the port must be a number from 0 to 65535"))?;
    if host.is_empty() {
        return Ok(ListenAddress::any(port));
    }
    let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(Some(inner)) if inner.parse::<Ipv6Addr>().is_ok() => inner,
        Some(_) => return Err(wrong("expected an IPv6 address between the brackets")),
        None if host.contains(':') => return Err(wrong("an IPv6 address needs brackets: [::1]:10125")),
        None => host,
    };
    if host.contains(|c: char| c.is_whitespace() || c == '/' || c == '[' || c == ']') {
        return Err(wrong("expected HOST:PORT or :PORT"));
    }
    Ok(ListenAddress { host: Some(host.to_owned()), port })
}

/// Opens a listening socket for each address; two for an address without host where the system keeps IPv4
/// and IPv6 apart. Resolves names, so it may block.
///
/// # Errors
/// [`WebError::Bind`] for the first address that can't be bound, with the reason.
pub fn bind(addresses: &[ListenAddress]) -> Result<Vec<TcpListener>, WebError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = match &address.host {
            None => bind_any(address.port),
            Some(host) => bind_host(host, address.port).map(|listener| vec![listener]),
        };
        listeners.extend(
            bound
                .map_err(|error| WebError::Bind { address: address.to_string(), problem: explain(&error) })?,
        );
    }
    Ok(listeners)
}

/// The listening sockets that systemd hands over (sd_listen_fds(3)). It changes the environment, so no other thread may
/// run yet.
///
/// # Errors
/// [`WebError::NoSockets`] where there is none although `is_needed`; [`WebError::Inherited`] for one that isn't a listening TCP socket.
pub fn inherited(is_needed: bool) -> Result<Option<Vec<TcpListener>>, WebError> {
    let mut handed_over = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..handed_over.len() {
        let wrong = |problem: String| WebError::Inherited { number: index.saturating_add(1), problem };
        let taken = handed_over
            .take_tcp_listener(index)
            .map_err(|error| wrong(format!("{error}; wattprint serves on TCP only (ListenStream=PORT)")))?;
        let Some(listener) = taken else { continue };
        let other = TcpStream::from(OwnedFd::from(listener.try_clone()?));
        if other.peer_addr().is_ok() {
            return Err(wrong("it is a connection: write Accept=no in the socket unit".to_owned()));
        }
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return if is_needed { Err(WebError::NoSockets) } else { Ok(None) };
    }
    Ok(Some(listeners))
}

fn bind_any(port: u16) -> io::Result<Vec<TcpListener>> {
    let v6 = match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        Ok(listener) => listener,
        // No IPv6 in this kernel or network namespace.
        Err(error) if lacks_ipv6(&error) => {
            return Ok(vec![TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?]);
        }
        Err(error) => return Err(error),
    };
    // Succeeds only where net.ipv6.bindv6only keeps the first socket from taking IPv4 too.
    let port = v6.local_addr()?.port();
    let v4 = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).ok();
    Ok(std::iter::once(v6).chain(v4).collect())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32)
        || error.kind() == ErrorKind::AddrNotAvailable
}

fn bind_host(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    // As Go does: of a name with both, the IPv4 address.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    TcpListener::bind(addresses.as_slice())
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "address already in use".to_owned(),
        ErrorKind::AddrNotAvailable => "no interface of this machine has that address".to_owned(),
        ErrorKind::PermissionDenied => {
            "permission denied (a port below 1024 needs CAP_NET_BIND_SERVICE)".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse() {
        for (text, host, port) in [
            (":10125", None, 10125),
            (":0", None, 0),
            ("localhost:10125", Some("localhost"), 10125),
            ("127.0.0.1:0", Some("127.0.0.1"), 0),
            ("[::1]:1", Some("::1"), 1),
            ("node-7.example:65535", Some("node-7.example"), 65535),
        ] {
            let address = parse_listen(text).unwrap();
            assert_eq!((address.host.as_deref(), address.port), (host, port), "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn whoever_listens_everywhere_is_reached_on_loopback() {
        let first = |text: &str| parse_listen(text).unwrap().reachable().unwrap()[0].to_string();
        assert_eq!(first(":10125"), "127.0.0.1:10125");
        assert_eq!(first("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(first("[::]:1"), "[::1]:1");
        assert_eq!(first("192.0.2.7:1"), "192.0.2.7:1");
    }

    #[test]
    fn nonsense_is_refused_with_its_value() {
        for text in [
            "",
            "10125",
            "localhost",
            ":",
            ":x",
            ":-1",
            ":+1",
            ":65536",
            "::1",
            "::1:1",
            "[::1]",
            "[::1:1",
            "[localhost]:1",
            "[]:1",
            "a b:1",
            "http://x:1",
        ] {
            let error = parse_listen(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_port_in_use_is_one_clear_line() {
        let taken = bind(&[parse_listen("127.0.0.1:0").unwrap()]).unwrap();
        let address = taken[0].local_addr().unwrap();
        let error = bind(&[parse_listen(&address.to_string()).unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), format!("can't listen on {address}: address already in use"));
    }

    #[test]
    fn all_addresses_include_ipv4() {
        let listeners = bind(&[ListenAddress::any(0)]).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn localhost_is_the_ipv4_one_first() {
        let listeners = bind(&[parse_listen("localhost:0").unwrap()]).unwrap();
        assert!(listeners[0].local_addr().unwrap().ip().is_loopback());
    }
}
