//! What Kerberos' tools say, and what it means.

use crate::{fault::Fault, program::Ended};

/// A word of the tools, what it means, and what would help. `{who}` and `{where}` are filled in.
#[rustfmt::skip]
const MEANINGS: &[(&str, &str, &str)] = &[
    ("Password incorrect", "the password of {who} is wrong", "correct kadmin_password, kadmin_password_file or what --kadmin-password-stdin reads"),
    ("Preauthentication failed", "the password of {who} is wrong", "correct kadmin_password, kadmin_password_file or what --kadmin-password-stdin reads"),
    ("not found in Kerberos database", "the realm has no principal {who}", "correct krb5_client.kadmin_principal, or create it: kadmin.local addprinc {who}"),
    ("Cannot contact any KDC", "no KDC of the realm answers ({where})", "is krb5kdc running, and does a firewall let port 88 through?"),
    ("Cannot find KDC", "no KDC of the realm is known ({where})", "name one in krb5.conf: kdc = HOST in [realms]"),
    ("Clock skew too great", "this host's clock and the KDC's differ too much", "set both by NTP: chronyc makestep"),
    ("Ticket not yet valid", "this host's clock is behind the KDC's", "set both by NTP: chronyc makestep"),
    ("credentials have been revoked", "{who} is locked or disabled in the realm", "unlock it: kadmin.local modprinc -unlock +allow_tix {who}"),
    ("Password expired", "the password of {who} has expired", "change it: kpasswd {who}; or kadmin.local modprinc -pwexpire never {who}"),
    ("entry in database has expired", "{who} has expired in the realm", "kadmin.local modprinc -expire never {who}"),
    ("Password has expired", "the password of {who} has expired", "change it: kpasswd {who}; or kadmin.local modprinc -pwexpire never {who}"),
    ("Communication failure with server", "no kadmind answers", "is kadmind running, and is krb5_client.kadmin_server right? On the KDC itself use --local"),
    ("Cannot resolve network address for admin server", "the name of the kadmin server has no address", "correct krb5_client.kadmin_server, or admin_server in krb5.conf"),
    ("Missing parameters in krb5.conf", "krb5.conf names no admin_server", "set krb5_client.kadmin_server"),
    ("Operation requires", "{who} may not do that in kadmind's ACL: {said}", "give {who} the rights `ceil` on flume/* in kadm5.acl, and restart kadmind"),
    ("while initializing kadmin.local interface", "there is no database of the realm on this host: {said}", "--local is for the KDC itself; elsewhere leave it out"),
];

/// The fault behind what a tool said about `who`.
pub(super) fn fault(said: &Ended, program: &str, who: &str, at: &str) -> Fault {
    let line = said.last_line();
    let all = format!("{}\n{}", said.err, said.out);
    let fill = |text: &str| {
        text.replace("{who}", who)
            .replace("{where}", at)
            .replace("{said}", &line)
    };
    match MEANINGS.iter().find(|(word, _, _)| all.contains(word)) {
        Some((_, cause, remedy)) => Fault::new(fill(cause), fill(remedy)),
        None => Fault::new(
            format!("{program}: {line}"),
            format!("try it by hand as {who}"),
        ),
    }
}

/// Where the realm's KDCs are, as a message says it.
pub(super) fn servers(kdcs: &[String]) -> String {
    if kdcs.is_empty() {
        "krb5.conf names none, DNS is asked".into()
    } else {
        kdcs.join(", ")
    }
}
