//! The protocols and layers in which ours and Java's speak to each other.

use crate::agents::root;

/// A protocol with its layers.
pub struct Lane {
    pub name: &'static str,
    /// Of sources and sinks on both sides.
    pub kind: &'static str,
    /// Properties of both ends.
    common: &'static str,
    /// Those of a source.
    source: &'static str,
    /// Those of a client or sink.
    sink: &'static str,
    /// Whether the source needs a key store and the client has to trust it.
    tls: bool,
}

#[rustfmt::skip]
pub const LANES: &[Lane] = &[
    Lane::new("avro", "avro", ""),
    Lane::new("avro-deflate", "avro", "compression-type = deflate"),
    Lane::new("avro-ipfilter", "avro", "").with_source("ipFilter = true\nipFilterRules = allow:ip:127.*,deny:ip:*"),
    Lane::new("avro-deflate-ipfilter", "avro", "compression-type = deflate").with_source("ipFilter = true\nipFilterRules = allow:name:localhost,deny:ip:*"),
    Lane::new("avro-tls", "avro", "").with_tls(),
    Lane::new("avro-tls-deflate", "avro", "compression-type = deflate").with_tls(),
    Lane::new("thrift-compact", "thrift", "protocol = compact"),
    Lane::new("thrift-binary", "thrift", "protocol = binary"),
    Lane::new("thrift-tls", "thrift", "").with_tls(),
    Lane::new("thrift-binary-tls", "thrift", "protocol = binary").with_tls(),
];

impl Lane {
    pub const fn new(name: &'static str, kind: &'static str, common: &'static str) -> Lane {
        Lane {
            name,
            kind,
            common,
            source: "",
            sink: "batch-size = 37",
            tls: false,
        }
    }

    pub const fn with_tls(self) -> Lane {
        Lane { tls: true, ..self }
    }

    const fn with_source(self, source: &'static str) -> Lane {
        Lane { source, ..self }
    }

    /// Of a source that shows the certificate of this store.
    pub fn source_properties(&self, keystore: &str) -> String {
        let tls = if self.tls {
            let stores = stores();
            format!("ssl = true\nkeystore = {stores}/{keystore}\nkeystore-password = storePassword")
        } else {
            String::new()
        };
        [self.common, self.source, &tls].join("\n")
    }

    /// Of a client that trusts `server.pkcs12`.
    pub fn client_properties(&self) -> String {
        let tls = if self.tls {
            let stores = stores();
            format!(
                "ssl = true\ntruststore = {stores}/trust.pkcs12\ntruststore-type = PKCS12\n\
                 truststore-password = storePassword"
            )
        } else {
            String::new()
        };
        [self.common, self.sink, &tls].join("\n")
    }

    /// Of a client of ours at Java's source, which shows the certificate of `rsa.jks`; no store trusts it.
    pub fn trusting_properties(&self) -> String {
        let tls = if self.tls {
            "ssl = true\ntrust-all-certs = true"
        } else {
            ""
        };
        [self.common, self.sink, tls].join("\n")
    }

    /// What the client SDK and ours call the protocol.
    pub fn client_type(&self) -> &'static str {
        match self.kind {
            "thrift" => "thrift",
            _ => "default",
        }
    }
}

fn stores() -> String {
    root()
        .join("crates/keystore/tests/data")
        .display()
        .to_string()
}
