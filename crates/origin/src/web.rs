//! A configuration on a web server.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flume_core::{Context, secrets::masked};
use flume_net::{
    http::{HeaderMap, StatusCode, Uri, header},
    http_client::{Fetched, HttpClient},
};
use tokio::time::timeout;

use crate::remote::{Asked, RemoteDocument, Shared};

/// As Flume's, for connecting and for reading.
const TIMEOUT: Duration = Duration::from_secs(60);
const MAX_BYTES: usize = 16 << 20;

/// A user with a password, for basic authentication.
#[derive(Clone)]
pub struct BasicLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Begins to ask for a document, at once and then after every `interval`; only when told to, if that is `None`.
///
/// # Errors
/// The address is wrong, or the system gives no thread.
pub fn start(
    uri: &str,
    login: Option<&BasicLogin>,
    interval: Option<Duration>,
    cx: Context,
) -> Result<RemoteDocument, String> {
    let shown = masked(uri).into_owned();
    let parsed: Uri = uri.parse().map_err(|error| format!("{shown}: {error}"))?;
    let mut headers = HeaderMap::new();
    if let Some(BasicLogin { user, password }) = login {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let mut value: header::HeaderValue = value
            .parse()
            .map_err(|_| format!("{shown}: the login has line ends"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    let of_poller = shown.clone();
    let work = move |shared: &Arc<Shared>, asked: &mut Asked| {
        let poller = Poller {
            uri: parsed.clone(),
            shown: of_poller.clone(),
            headers: headers.clone(),
            shared: shared.clone(),
            cx: cx.clone(),
        };
        poller.run(asked, interval);
    };
    RemoteDocument::start(shown, "conf-http", work)
}

/// Asks the server.
struct Poller {
    uri: Uri,
    shown: String,
    headers: HeaderMap,
    shared: Arc<Shared>,
    cx: Context,
}

impl Poller {
    fn run(mut self, asked: &mut Asked, interval: Option<Duration>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return self.failed(format!("failed to start a runtime: {error}")),
        };
        loop {
            match runtime.block_on(self.ask()) {
                Ok(fetched) => self.answered(fetched),
                Err(error) => self.failed(error),
            }
            let next = runtime.block_on(async {
                match interval {
                    // After the interval it is as if somebody had asked.
                    Some(interval) => timeout(interval, asked.recv()).await.unwrap_or(Some(())),
                    None => asked.recv().await,
                }
            });
            if next.is_none() {
                return;
            }
        }
    }

    async fn ask(&self) -> Result<Fetched, String> {
        let client = HttpClient {
            timeout: TIMEOUT,
            max_bytes: MAX_BYTES,
        };
        let fetched = client.get(&self.uri, &self.headers, &self.cx).await;
        fetched.map_err(|error| flume_core::with_causes(&error))
    }

    fn answered(&mut self, fetched: Fetched) {
        match fetched.status {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return self.shared.unchanged(),
            StatusCode::UNAUTHORIZED => {
                let text =
                    "the server wants another login (401); see --conf-user and --conf-password";
                return self.failed(text.into());
            }
            status => return self.failed(format!("the server answered {status}")),
        }
        // What the server says about this document is what it is asked about the next time.
        for (answer, question) in [
            (header::ETAG, header::IF_NONE_MATCH),
            (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE),
        ] {
            match fetched.headers.get(answer) {
                Some(value) => drop(self.headers.insert(question, value.clone())),
                None => drop(self.headers.remove(question)),
            }
        }
        self.shared.received(fetched.body.to_vec());
    }

    fn failed(&self, why: String) {
        self.shared.failed(format!("{}: {why}", self.shown));
    }
}
