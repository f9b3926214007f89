//! Offsets that groups kept in ZooKeeper up to Kafka 0.8, and so Flume up to 1.6: they are copied once, into a group that
//! has none.

use std::time::Duration;

use flume_core::Config;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::time::timeout;
use zookeeper_client::{Client, Error as ZooKeeperError};

/// Flume's time limits of the session and the connection. Brokers may take as long.
const LIMIT: Duration = Duration::from_secs(30);

/// Properties of the source and the channel.
#[derive(Clone, Config)]
pub(crate) struct MigrationConfig {
    /// ZooKeeper of brokers before Kafka 0.9, as `host:port`, separated by commas, with the path of a root behind them if
    /// need be. A group that has no offsets in Kafka begins with those that it has there. Brokers are not looked up there:
    /// name them in `kafka.bootstrap.servers`.
    #[prop("zookeeperConnect")]
    zookeeper: Option<String>,
    /// Whether offsets are copied from `zookeeperConnect`.
    #[prop("migrateZookeeperOffsets", default = true)]
    migrate_offsets: bool,
}

/// Why offsets were not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrationError {
    #[error("failed to read {path} in ZooKeeper {servers}: {error}")]
    Unreadable {
        path: String,
        servers: String,
        error: ZooKeeperError,
    },
    #[error("ZooKeeper {servers} has not given the offsets within {LIMIT:?}")]
    Slow { servers: String },
    #[error("{path} in ZooKeeper {servers} is no offset: `{found}`")]
    NoOffset {
        path: String,
        servers: String,
        found: String,
    },
    #[error("failed to set the group's offsets")]
    Kafka(#[from] KafkaError),
    #[error("the group did not keep the offsets that were copied from ZooKeeper")]
    NotKept,
    #[error("the copying of offsets was given up")]
    GivenUp,
}

/// Partitions with offsets.
type Offsets = Vec<(i32, i64)>;

impl MigrationConfig {
    /// Copies the offsets of a topic into the group of this consumer, unless the group has some. As in Flume, nothing is
    /// copied if several topics are read: versions that kept offsets in ZooKeeper read one.
    pub(crate) async fn copy_offsets(
        &self,
        topics: &[String],
        consumer: &ClientConfig,
    ) -> Result<(), MigrationError> {
        let Some(servers) = self.zookeeper.as_ref().filter(|_| self.migrate_offsets) else {
            return Ok(());
        };
        let [topic] = topics else {
            tracing::info!("no offsets are copied from ZooKeeper: more than one topic is read");
            return Ok(());
        };
        let group = Group {
            config: consumer.clone(),
            topic: topic.clone(),
        };
        let Some(partitions) = group.clone().blocking(Group::without_offsets).await? else {
            return Ok(());
        };
        let name = consumer.get("group.id").unwrap_or_default();
        let offsets = read(servers, name, topic, &partitions).await?;
        if offsets.is_empty() {
            tracing::warn!("ZooKeeper {servers} has no offsets of group {name} in topic {topic}");
            return Ok(());
        }
        let shown: Vec<_> = offsets
            .iter()
            .map(|(partition, offset)| format!("{topic}-{partition} at {offset}"))
            .collect();
        group
            .blocking(move |group| group.begin_at(&offsets))
            .await?;
        tracing::info!("copied from ZooKeeper {servers}: {}", shown.join(", "));
        Ok(())
    }
}

/// What ZooKeeper knows of these partitions. A server that answers pings alone would be waited for for ever.
async fn read(
    servers: &str,
    group: &str,
    topic: &str,
    partitions: &[i32],
) -> Result<Offsets, MigrationError> {
    let offsets = timeout(LIMIT, read_all(servers, group, topic, partitions)).await;
    offsets.map_err(|_| MigrationError::Slow {
        servers: servers.into(),
    })?
}

async fn read_all(
    servers: &str,
    group: &str,
    topic: &str,
    partitions: &[i32],
) -> Result<Offsets, MigrationError> {
    let directory = format!("/consumers/{group}/offsets/{topic}");
    let unreadable = |path: &str| {
        let path = path.to_string();
        move |error| MigrationError::Unreadable {
            path,
            servers: servers.into(),
            error,
        }
    };
    let connected = Client::connector()
        .with_session_timeout(LIMIT)
        .with_connection_timeout(LIMIT)
        .with_fail_eagerly()
        .connect(servers)
        .await;
    let client = connected.map_err(unreadable(&directory))?;
    let mut offsets = vec![];
    for partition in partitions {
        let path = format!("{directory}/{partition}");
        let data = match client.get_data(&path).await {
            Ok((data, _)) => data,
            Err(ZooKeeperError::NoNode) => continue,
            Err(error) => return Err(unreadable(&path)(error)),
        };
        let text = String::from_utf8_lossy(&data);
        let offset = text.trim().parse().ok().filter(|offset| *offset >= 0);
        let offset = offset.ok_or_else(|| MigrationError::NoOffset {
            path,
            servers: servers.into(),
            found: text.chars().take(80).collect(),
        })?;
        offsets.push((*partition, offset));
    }
    Ok(offsets)
}

/// A group in one topic.
#[derive(Clone)]
struct Group {
    config: ClientConfig,
    topic: String,
}

impl Group {
    async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce(&Group) -> Result<T, MigrationError> + Send + 'static,
    ) -> Result<T, MigrationError> {
        let ended = tokio::task::spawn_blocking(move || work(&self)).await;
        ended.map_err(|_| MigrationError::GivenUp)?
    }

    /// All partitions, if the group has an offset in none of them.
    fn without_offsets(&self) -> Result<Option<Vec<i32>>, MigrationError> {
        let consumer: BaseConsumer = self.config.create()?;
        let metadata = consumer.fetch_metadata(Some(&self.topic), LIMIT)?;
        let topic = metadata.topics().first();
        let partitions: Vec<_> = topic
            .into_iter()
            .flat_map(|topic| topic.partitions())
            .map(|partition| partition.id())
            .collect();
        let topic = &self.topic;
        if partitions.is_empty() {
            tracing::warn!("topic {topic} does not exist: no offsets are copied from ZooKeeper");
            return Ok(None);
        }
        if self.has_offset(&consumer, &partitions)? {
            tracing::info!("the group has offsets in topic {topic}: none are copied");
            return Ok(None);
        }
        Ok(Some(partitions))
    }

    fn has_offset(
        &self,
        consumer: &BaseConsumer,
        partitions: &[i32],
    ) -> Result<bool, MigrationError> {
        let known = self.known(consumer, partitions.iter().copied())?;
        let mut elements = known.iter();
        Ok(elements.any(|(_, offset)| matches!(offset, Offset::Offset(_))))
    }

    fn known(
        &self,
        consumer: &BaseConsumer,
        partitions: impl Iterator<Item = i32>,
    ) -> Result<Vec<(i32, Offset)>, MigrationError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        let known = consumer.committed_offsets(list, LIMIT)?;
        let elements = known.elements();
        let pairs = elements
            .iter()
            .map(|element| (element.partition(), element.offset()));
        Ok(pairs.collect())
    }

    /// Sets the offsets and looks whether they are there. Another member that came first has set its own: those stay.
    fn begin_at(&self, offsets: &[(i32, i64)]) -> Result<(), MigrationError> {
        let consumer: BaseConsumer = self.config.create()?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        let committed = consumer.commit(&list, CommitMode::Sync);
        let known = self.known(&consumer, offsets.iter().map(|(partition, _)| *partition))?;
        let are_kept = known
            .iter()
            .all(|(_, offset)| matches!(offset, Offset::Offset(_)));
        match committed {
            Err(error) if !(are_kept && is_of_another_member(&error)) => Err(error.into()),
            _ if are_kept => Ok(()),
            _ => Err(MigrationError::NotKept),
        }
    }
}

fn is_of_another_member(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{IllegalGeneration, RebalanceInProgress, UnknownMemberId};
    matches!(
        error.rdkafka_error_code(),
        Some(IllegalGeneration | RebalanceInProgress | UnknownMemberId)
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_group_begins_where_it_is_told_once() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 3, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        config.set("group.id", "g");
        let group = Group {
            config,
            topic: "t".into(),
        };
        assert_eq!(group.without_offsets().unwrap(), Some(vec![0, 1, 2]));
        group.begin_at(&[(0, 7), (2, 5)]).unwrap();
        assert_eq!(group.without_offsets().unwrap(), None);
        let consumer: BaseConsumer = group.config.create().unwrap();
        let known = group.known(&consumer, 0..3).unwrap();
        let expected = [
            (0, Offset::Offset(7)),
            (1, Offset::Invalid),
            (2, Offset::Offset(5)),
        ];
        assert_eq!(known, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_zookeeper_that_says_nothing_is_not_waited_for() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let servers = silent.local_addr().unwrap().to_string();
        // The clock of the client is another one: its own limits are far.
        let error = read(&servers, "g", "t", &[0]).await.unwrap_err();
        assert!(matches!(error, MigrationError::Slow { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_zookeeper_that_is_away_is_named() {
        // Nobody listens at port 1.
        let error = read("127.0.0.1:1", "g", "t", &[0]).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("failed to read /consumers/g/offsets/t in ZooKeeper 127.0.0.1:1: "),
            "{said}"
        );
    }
}
