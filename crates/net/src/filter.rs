//! Who may connect: Flume's `ipFilterRules`.

use std::{fmt, net::IpAddr};

use crate::address::{java_address, java_host_name};

/// Rules `allow|deny:ip|name:pattern`, separated by commas. The first that matches decides; without a match the peer
/// is allowed. In a pattern `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressFilter {
    rules: Vec<AddressRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct AddressRule {
    allows: bool,
    subject: RuleSubject,
    pattern: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleSubject {
    Ip,
    Name,
}

impl AddressFilter {
    /// Reads rules as they are configured.
    ///
    /// # Errors
    /// A text that names the first rule that is no rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rules: Result<Vec<_>, _> = text.split(',').map(AddressRule::parse).collect();
        Ok(AddressFilter { rules: rules? })
    }

    /// Whether a peer may stay. May ask a name service, if a rule is about names.
    pub async fn allows(&self, peer: IpAddr) -> bool {
        let address = java_address(peer);
        let mut name = None;
        for rule in &self.rules {
            let matches = match rule.subject {
                RuleSubject::Ip => wildcard(&rule.pattern, &address),
                // Flume asks no name service for this one, and neither do we.
                RuleSubject::Name if rule.pattern == "localhost" => is_this_host(peer),
                RuleSubject::Name => {
                    if name.is_none() {
                        name = Some(java_host_name(peer).await);
                    }
                    wildcard(&rule.pattern, name.as_deref().unwrap_or_default())
                }
            };
            if matches {
                return rule.allows;
            }
        }
        true
    }
}

impl fmt::Display for AddressFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules", self.rules.len())
    }
}

impl AddressRule {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "expected `allow` or `deny`, `ip` or `name`, and a pattern, as in `allow:ip:10.*`; found `{text}`"
            )
        };
        let mut parts = text.splitn(3, ':');
        let allows = match parts.next() {
            Some("allow") => true,
            Some("deny") => false,
            _ => return Err(wrong()),
        };
        let subject = match parts.next() {
            Some("ip") => RuleSubject::Ip,
            Some("name") => RuleSubject::Name,
            _ => return Err(wrong()),
        };
        let pattern = parts.next().filter(|pattern| !pattern.is_empty());
        Ok(AddressRule {
            allows,
            subject,
            pattern: pattern.ok_or_else(wrong)?.into(),
        })
    }
}

/// A loopback address, or the address of this host's own name.
fn is_this_host(peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback() || flume_host::names::LocalHost::look_up().address == Some(peer)
}

/// Whether `pattern` matches the whole of `text`. `*` is tried with as few characters as possible first; on a mismatch
/// the last `*` takes one more.
fn wildcard(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let mut at = 0;
    let mut next = 0;
    let mut last_star: Option<(usize, usize)> = None;
    while next < text.len() {
        match pattern.get(at) {
            Some('*') => {
                last_star = Some((at, next));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[next] => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else {
                    return false;
                };
                last_star = Some((star, taken + 1));
                at = star + 1;
                next = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_rule_that_matches_decides() {
        let check = async |rules: &str, peer: &str, allowed: bool| {
            let filter = AddressFilter::parse(rules).expect("rules");
            let peer = peer.parse().expect("an address");
            assert_eq!(filter.allows(peer).await, allowed, "{rules} {peer}");
        };
        check("deny:ip:10.*", "10.1.2.3", false).await;
        check("deny:ip:10.*", "11.1.2.3", true).await;
        check("allow:ip:10.1.*,deny:ip:*", "10.1.2.3", true).await;
        check("allow:ip:10.1.*, deny:ip:*", "10.2.2.3", false).await;
        check("allow:ip:10.?.2.3,deny:ip:*", "10.1.2.3", true).await;
        check("allow:ip:10.?.2.3,deny:ip:*", "10.12.2.3", false).await;
        check("allow:name:localhost,deny:ip:*", "127.0.0.1", true).await;
        check("allow:name:localhost,deny:ip:*", "::ffff:127.0.0.1", true).await;
        check("deny:name:localhost", "192.0.2.1", true).await;
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for wrong in [
            "",
            "allow",
            "allow:ip",
            "allow:ip:",
            "Allow:ip:*",
            "allow:host:*",
            "deny:ip:*,x",
        ] {
            let error = AddressFilter::parse(wrong).expect_err(wrong);
            assert!(error.contains("`allow:ip:10.*`"), "{error}");
        }
    }

    #[test]
    fn wildcards_match_the_whole_text() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdef", false),
            ("*ab", "aab", true),
            ("??", "a", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} {text}");
        }
    }
}
