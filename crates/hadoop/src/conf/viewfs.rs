//! `viewfs://table/path`: a path through the mount table.

use super::{Hadoop, HadoopError};

/// Links that lead to links, at most.
const HOPS: usize = 8;

/// The URL that the path of a mount table stands for: no other path of one.
pub(super) fn resolve(hadoop: &Hadoop, host: &str, path: &str) -> Result<String, HadoopError> {
    let mut table = host.to_string();
    let mut path = path.to_string();
    for _ in 0..HOPS {
        let url = step(hadoop, &table, &path)?;
        match hadoop.in_full(&url) {
            Ok((scheme, host, rest)) if scheme.eq_ignore_ascii_case("viewfs") => {
                (table, path) = (host.into(), rest.into());
            }
            _ => return Ok(url),
        }
    }
    Err(HadoopError::at(
        None,
        format!("viewfs://{host}: more than {HOPS} links lead to each other"),
    ))
}

fn step(hadoop: &Hadoop, host: &str, path: &str) -> Result<String, HadoopError> {
    let table = match host {
        "" => hadoop
            .get("fs.viewfs.mounttable.default.name.key")
            .unwrap_or("default"),
        _ => host,
    };
    let prefix = format!("fs.viewfs.mounttable.{table}.");
    let mut links = vec![];
    for (key, setting) in hadoop.settings() {
        let Some(name) = key.strip_prefix(&prefix) else {
            continue;
        };
        if let Some(mount) = name.strip_prefix("link.") {
            links.push((mount.trim_end_matches('/'), setting));
        } else if let Some(kind) = ["linkMergeSlash", "linkMerge", "linkNfly", "linkRegex"]
            .iter()
            .find(|kind| name.starts_with(*kind))
        {
            return Err(hadoop.wrong(
                key,
                format!("is a link of a kind that this client does not know: {kind}"),
            ));
        }
    }
    let below = |mount: &str| {
        path.strip_prefix(mount)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let found = links
        .iter()
        .filter_map(|(mount, setting)| Some((mount.len(), below(mount)?, setting)));
    if let Some((_, rest, setting)) = found.max_by_key(|(length, ..)| *length) {
        return Ok(format!("{}{rest}", setting.value.trim_end_matches('/')));
    }
    if let Some(fallback) = hadoop.get(&format!("{prefix}linkFallback")) {
        return Ok(format!("{}{path}", fallback.trim_end_matches('/')));
    }
    let mounts: Vec<_> = links.iter().map(|(mount, _)| *mount).collect();
    let text = match mounts[..] {
        [] => format!(
            "viewfs://{host}{path}: there is no mount table `{table}`: no `{prefix}link.…` is set"
        ),
        _ => format!(
            "viewfs://{host}{path} is below no link of mount table `{table}`, which has {}",
            mounts.join(", ")
        ),
    };
    Err(HadoopError::at(None, text))
}
