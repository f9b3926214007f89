//! An agent as a program outside sees it: over its control socket, or over its monitoring port.

use std::{io, path::PathBuf, time::Duration};

use flume_core::Context;
use flume_net::{
    http::{HeaderMap, Uri},
    http_client::HttpClient,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    control::{ControlAnswer, ControlRequest, ask},
    flow::FlowShape,
    status::{ComponentReport, Status},
};

/// How long an agent may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A longer answer is not an agent's.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Where an agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observer {
    /// The state directory that holds its socket.
    Socket(PathBuf),
    /// Its monitoring port.
    Port {
        /// A name or an address.
        host: String,
        /// A port.
        port: u16,
    },
}

/// What `/api/flow` answers.
#[derive(Deserialize)]
struct FlowAnswer {
    flow: FlowShape,
}

impl Observer {
    /// The agent whose monitoring port this is: `http://host:41414`.
    ///
    /// # Errors
    /// A sentence, when it is no such address.
    pub fn of_url(url: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{url}` is not the address of a monitoring port, such as http://host:41414")
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?;
        Ok(Observer::Port {
            host: host.trim_matches(['[', ']']).into(),
            port: uri.port_u16().unwrap_or(80),
        })
    }

    /// How it is.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> io::Result<Status> {
        match self {
            Observer::Socket(_) => match self.ask(ControlRequest::Status).await? {
                ControlAnswer::Status(status) => Ok(*status),
                answer => Err(unexpected(&answer)),
            },
            Observer::Port { .. } => self.get("/api/status").await,
        }
    }

    /// What is configured.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn flow(&self) -> io::Result<FlowShape> {
        match self {
            Observer::Socket(_) => match self.ask(ControlRequest::Flow).await? {
                ControlAnswer::Flow(flow) => Ok(*flow),
                answer => Err(unexpected(&answer)),
            },
            Observer::Port { .. } => Ok(self.get::<FlowAnswer>("/api/flow").await?.flow),
        }
    }

    /// What is remembered of a component.
    ///
    /// # Errors
    /// When it does not answer, or has no such component.
    pub async fn component(&self, kind: &str, name: &str) -> io::Result<ComponentReport> {
        match self {
            Observer::Socket(_) => {
                let request = ControlRequest::Component {
                    kind: kind.into(),
                    name: name.into(),
                };
                match self.ask(request).await? {
                    ControlAnswer::Component(report) => Ok(*report),
                    answer => Err(unexpected(&answer)),
                }
            }
            Observer::Port { .. } => {
                let name: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
                self.get(&format!("/api/components/{kind}/{name}")).await
            }
        }
    }

    async fn ask(&self, request: ControlRequest) -> io::Result<ControlAnswer> {
        let Observer::Socket(directory) = self else {
            return Err(io::Error::other("a port has no control socket"));
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the agent does not answer");
        tokio::time::timeout(ANSWER_TIMEOUT, ask(directory, &request))
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> io::Result<T> {
        let Observer::Port { host, port } = self else {
            return Err(io::Error::other("a socket has no pages"));
        };
        let client = HttpClient {
            timeout: ANSWER_TIMEOUT,
            max_bytes: MAX_ANSWER_BYTES,
        };
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let uri: Uri = format!("http://{host}:{port}{path}")
            .parse()
            .map_err(io::Error::other)?;
        let cx = Context::new("top", &[]);
        let answer = client.get(&uri, &HeaderMap::new(), &cx).await?;
        if !answer.status.is_success() {
            return Err(io::Error::other(format!(
                "{path}: status {}",
                answer.status
            )));
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }
}

fn unexpected(answer: &ControlAnswer) -> io::Error {
    match answer {
        ControlAnswer::Failed(why) => io::Error::other(why.clone()),
        answer => io::Error::other(format!("unexpected answer: {answer:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ports() {
        for (url, expected) in [
            ("http://h:41414", Some(("h", 41414))),
            ("http://[::1]:1/", Some(("::1", 1))),
            ("http://h", Some(("h", 80))),
            ("https://h:1", None),
            ("http://h/metrics", None),
            ("h:41414", None),
            ("", None),
            ("http://", None),
        ] {
            let expected = expected.map(|(host, port)| Observer::Port {
                host: host.into(),
                port,
            });
            assert_eq!(Observer::of_url(url).ok(), expected, "{url}");
        }
    }
}
