//! A client of one peer, or of several.

use std::time::Duration;

use flume_core::{Event, Rotation, RotationOrder};

use crate::{ClientError, PeerClient, PeerSettings};

/// Sends events to one peer, or to one of several.
pub struct FlumeClient {
    peers: Vec<PeerClient>,
    choice: PeerChoice,
}

/// Which peer is next.
enum PeerChoice {
    /// The active one as long as it works, then the one behind it; so many are tried for a call.
    Failover {
        active: usize,
        max_attempts: usize,
    },
    Balancing(Rotation),
}

/// What is sent in one call of the client.
#[derive(Clone, Copy)]
enum Parcel<'a> {
    Event(&'a Event),
    Batch(&'a [Event]),
}

impl FlumeClient {
    /// A client of one peer.
    pub fn peer(peer: PeerSettings) -> Self {
        FlumeClient::failover(vec![peer], 1)
    }

    /// Sends to the first peer as long as it works, then to the next, and so on in a circle. A call fails after so many
    /// peers.
    pub fn failover(peers: Vec<PeerSettings>, max_attempts: usize) -> Self {
        let choice = PeerChoice::Failover {
            active: 0,
            max_attempts: max_attempts.max(1),
        };
        FlumeClient::of(peers, choice)
    }

    /// Sends to each peer in turn, or at random. When one fails, the others are tried. With a longest pause, one that
    /// failed is left out for two seconds, doubling with each failure up to that.
    pub fn balancing(
        peers: Vec<PeerSettings>,
        order: RotationOrder,
        longest_pause: Option<Duration>,
    ) -> Self {
        let rotation = Rotation::new(peers.len(), order, longest_pause);
        FlumeClient::of(peers, PeerChoice::Balancing(rotation))
    }

    fn of(peers: Vec<PeerSettings>, choice: PeerChoice) -> Self {
        FlumeClient {
            peers: peers.into_iter().map(PeerClient::new).collect(),
            choice,
        }
    }

    /// Sends one event.
    ///
    /// # Errors
    /// That of the last peer that was tried.
    pub async fn append(&mut self, event: &Event) -> Result<(), ClientError> {
        self.send(Parcel::Event(event)).await
    }

    /// Sends events together. All of them go to the same peer; if it fails, all of them go to the next.
    ///
    /// # Errors
    /// That of the last peer that was tried.
    pub async fn append_batch(&mut self, events: &[Event]) -> Result<(), ClientError> {
        self.send(Parcel::Batch(events)).await
    }

    /// Connects to a peer, if there is no connection: a client does so by itself when it has something to send.
    ///
    /// # Errors
    /// That of the last peer that was tried.
    pub async fn connect(&mut self) -> Result<(), ClientError> {
        self.send(Parcel::Batch(&[])).await
    }

    /// Hosts and ports.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.peers.iter().map(PeerClient::name).collect();
        names.join(", ")
    }

    /// Gives all connections up.
    pub fn close(&mut self) {
        self.peers.iter_mut().for_each(PeerClient::close);
    }

    async fn send(&mut self, parcel: Parcel<'_>) -> Result<(), ClientError> {
        let peers = self.peers.len();
        let order: Vec<usize> = match &mut self.choice {
            PeerChoice::Balancing(rotation) => rotation.draw(),
            PeerChoice::Failover {
                active,
                max_attempts,
            } => (0..*max_attempts)
                .filter(|_| peers > 0)
                .map(|attempt| (*active + attempt) % peers)
                .collect(),
        };
        let mut last = ClientError::NoPeer;
        for place in order {
            let Err(error) = parcel.send_to(&mut self.peers[place]).await else {
                if let PeerChoice::Failover { active, .. } = &mut self.choice {
                    *active = place;
                }
                return Ok(());
            };
            if let PeerChoice::Balancing(rotation) = &mut self.choice {
                rotation.failed(place);
            }
            last = error;
        }
        Err(last)
    }
}

impl Parcel<'_> {
    async fn send_to(self, peer: &mut PeerClient) -> Result<(), ClientError> {
        match self {
            Parcel::Event(event) => peer.append(event).await,
            Parcel::Batch([]) => peer.connect().await,
            Parcel::Batch(events) => peer.append_batch(events).await,
        }
    }
}
