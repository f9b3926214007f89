//! `hdfs.codeC`: the codecs by the names Hadoop knows them by.

use flume_core::config::Scalar;

/// A codec of Hadoop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Gzip members.
    Gzip,
    /// Bzip2 streams.
    Bzip2,
    /// Zlib streams, as Hadoop's default codec.
    Default,
    /// The same under its other name.
    Deflate,
    /// Snappy in Hadoop's block framing.
    Snappy,
    /// LZ4 blocks in Hadoop's block framing.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

/// What a codec is called, and what files of it end with.
struct Row {
    codec: Codec,
    /// The class in the package `org.apache.hadoop.io.compress`, `Codec` taken off.
    name: &'static str,
    class: &'static str,
    /// Accepted besides.
    short: &'static str,
    extension: &'static str,
}

#[rustfmt::skip]
const CODECS: &[Row] = &[
    Row { codec: Codec::Gzip, name: "Gzip", class: "org.apache.hadoop.io.compress.GzipCodec", short: "gz", extension: ".gz" },
    Row { codec: Codec::Bzip2, name: "BZip2", class: "org.apache.hadoop.io.compress.BZip2Codec", short: "bz2", extension: ".bz2" },
    Row { codec: Codec::Default, name: "Default", class: "org.apache.hadoop.io.compress.DefaultCodec", short: "zlib", extension: ".deflate" },
    Row { codec: Codec::Deflate, name: "Deflate", class: "org.apache.hadoop.io.compress.DeflateCodec", short: "zlib", extension: ".deflate" },
    Row { codec: Codec::Snappy, name: "Snappy", class: "org.apache.hadoop.io.compress.SnappyCodec", short: "snappy", extension: ".snappy" },
    Row { codec: Codec::Lz4, name: "Lz4", class: "org.apache.hadoop.io.compress.Lz4Codec", short: "lz4", extension: ".lz4" },
    Row { codec: Codec::Zstd, name: "ZStandard", class: "org.apache.hadoop.io.compress.ZStandardCodec", short: "zstd", extension: ".zst" },
];

impl Codec {
    /// Every codec.
    pub const ALL: &'static [Codec] = &[
        Codec::Gzip,
        Codec::Bzip2,
        Codec::Default,
        Codec::Deflate,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    /// The Java class, as the header of a SequenceFile names it.
    pub fn class(self) -> &'static str {
        self.row().class
    }

    /// What names of its files end with, the dot included.
    pub fn extension(self) -> &'static str {
        self.row().extension
    }

    /// The choices, for messages.
    pub(super) fn names() -> String {
        let names: Vec<_> = CODECS
            .iter()
            .map(|row| format!("`{}`", row.name.to_ascii_lowercase()))
            .collect();
        names.join(", ")
    }

    fn row(self) -> &'static Row {
        // Every codec has its row, in the order of the enumeration; a test walks through them.
        &CODECS[self as usize]
    }

    fn named(text: &str) -> Option<Codec> {
        let lower = text.to_ascii_lowercase();
        let plain = lower
            .strip_prefix("org.apache.hadoop.io.compress.")
            .unwrap_or(&lower);
        let plain = plain.strip_suffix("codec").unwrap_or(plain);
        let is = |row: &&Row| row.name.eq_ignore_ascii_case(plain) || row.short == plain;
        CODECS.iter().find(is).map(|row| row.codec)
    }
}

/// What the user wrote: a codec by its class, the class without its package, that without `Codec`, a short name, or
/// `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecChoice(pub Option<Codec>);

impl Scalar for CodecChoice {
    const TYPE: &'static str = "codec";

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(CodecChoice(None));
        }
        let choices = Codec::names();
        Codec::named(text).map(|codec| CodecChoice(Some(codec))).ok_or_else(|| {
            if text.to_ascii_lowercase().contains("lzo") { format!("one of {choices} (LZO is not part of Hadoop; `lz4` and `snappy` are as fast)") } else { format!("one of {choices}") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Codec> {
        CodecChoice::parse(text).expect("a codec").0
    }

    #[test]
    fn rows_stand_in_the_order_of_the_enumeration() {
        for codec in Codec::ALL {
            assert_eq!(codec.row().codec, *codec);
        }
        assert_eq!(Codec::ALL.len(), CODECS.len());
    }

    #[test]
    fn every_name_in_any_case() {
        for row in CODECS {
            let simple = row.class.rsplit('.').next().expect("a name");
            for name in [row.class, simple, row.name, &row.name.to_uppercase()] {
                assert_eq!(parse(name), Some(row.codec), "{name}");
            }
        }
        assert_eq!(parse("zstd"), Some(Codec::Zstd));
        assert_eq!(parse("gz"), Some(Codec::Gzip));
        assert_eq!(parse("none"), None);
    }

    #[test]
    fn others_are_refused_with_the_choices() {
        let lzo = CodecChoice::parse("com.hadoop.compression.lzo.LzopCodec").expect_err("refused");
        assert!(
            lzo.contains("`lz4` and `snappy`") && lzo.contains("`gzip`"),
            "{lzo}"
        );
        let unknown = CodecChoice::parse("rar").expect_err("refused");
        assert!(
            unknown.contains("`zstandard`") && !unknown.contains("LZO"),
            "{unknown}"
        );
    }
}
