//! A keytab on disk, before anybody is asked: is it there, is it ours to read, is the principal in it.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::user_name;
use crate::{IdentityError, IdentityProblem, Keytab, Login};

/// A keytab is a few keys; more bytes than this are something else.
const MAX_KEYTAB_BYTES: u64 = 4 << 20;

/// A keytab that will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedKeytab {
    /// What is in it.
    pub keytab: Keytab,
    /// What an administrator should change all the same.
    pub warnings: Vec<String>,
}

/// Looks at the keytab of a login whose `_HOST` is resolved. Reads one small file.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(login: &Login) -> Result<CheckedKeytab, IdentityError> {
    let path = &login.keytab;
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error, None))?;
    let name = path.display();
    if !metadata.is_file() {
        let text = format!("the keytab {name} is not a file");
        return Err(IdentityError::new(
            IdentityProblem::KeytabUnreadable,
            text,
            "the property for it must name one",
        ));
    }
    if metadata.len() > MAX_KEYTAB_BYTES {
        let text = format!(
            "the keytab {name} has {} bytes, too many for one",
            metadata.len()
        );
        return Err(IdentityError::new(
            IdentityProblem::KeytabBroken,
            text,
            "the property for it must name a keytab",
        ));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error, Some(&metadata)))?;
    let keytab = Keytab::parse(&bytes).map_err(|error| {
        let hint = "fetch it again with kadmin's `ktadd`, and copy it as a whole";
        IdentityError::new(
            IdentityProblem::KeytabBroken,
            format!("the keytab {name} {error}"),
            hint,
        )
    })?;
    let keys = keytab.newest(&login.principal);
    if keys.is_empty() {
        return Err(not_in(&keytab, login));
    }
    let mut warnings = permissions(path, &metadata);
    if !keys.iter().any(|key| key.encryption.is_current()) {
        let types: Vec<_> = keys.iter().map(|key| key.encryption.to_string()).collect();
        let text = format!(
            "the keytab {name} has keys of {} for {} alone, which KDCs of today refuse",
            types.join(", "),
            login.principal
        );
        warnings.push(text);
    }
    Ok(CheckedKeytab { keytab, warnings })
}

fn not_in(keytab: &Keytab, login: &Login) -> IdentityError {
    let name = login.keytab.display();
    let principal = &login.principal;
    let there: Vec<_> = keytab.principals().into_iter().collect();
    let text = match there[..] {
        [] => format!("the keytab {name} has no keys at all"),
        _ => format!(
            "the keytab {name} has no key of {principal}; it has keys of {}",
            there.join(", ")
        ),
    };
    let hint = match there[..] {
        [one] => format!("should the principal be {one}?"),
        _ => "the principal must be one of those in the keytab; `_HOST` in it became this host's canonical name".into(),
    };
    IdentityError::new(IdentityProblem::PrincipalNotInKeytab, text, hint)
}

fn unreadable(path: &Path, error: &io::Error, metadata: Option<&Metadata>) -> IdentityError {
    let name = path.display();
    let user = user_name();
    match (error.kind(), metadata) {
        (io::ErrorKind::NotFound, _) => IdentityError::new(
            IdentityProblem::KeytabMissing,
            format!("the keytab {name} does not exist"),
            "the property for it must name a file on this host",
        ),
        (io::ErrorKind::PermissionDenied, Some(metadata)) => IdentityError::new(
            IdentityProblem::KeytabUnreadable,
            format!(
                "user {user} may not read the keytab {name}: it belongs to {}",
                owner(metadata)
            ),
            format!("as its owner or root: chown {user} {name}; chmod 400 {name}"),
        ),
        (io::ErrorKind::PermissionDenied, None) => IdentityError::new(
            IdentityProblem::KeytabUnreadable,
            format!("user {user} may not enter a directory on the way to the keytab {name}"),
            format!("`namei -l {name}` shows which"),
        ),
        _ => IdentityError::new(
            IdentityProblem::KeytabUnreadable,
            format!("the keytab {name} cannot be read: {error}"),
            "the property for it must name a readable file",
        ),
    }
}

fn owner(metadata: &Metadata) -> String {
    let uid = metadata.uid();
    let gid = metadata.gid();
    let mode = metadata.mode() & 0o7777;
    format!("user {uid} and group {gid}, mode {mode:04o}")
}

/// Whoever reads a keytab can be its principal.
fn permissions(path: &Path, metadata: &Metadata) -> Vec<String> {
    let name = path.display();
    let mode = metadata.mode() & 0o7777;
    let mut warnings = vec![];
    let others = if mode & 0o007 != 0 {
        "everybody"
    } else {
        "its group"
    };
    if mode & 0o077 != 0 {
        warnings.push(format!(
            "the keytab {name} is open to {others}, mode {mode:04o}: chmod 400 {name}"
        ));
    }
    let own = rustix::process::geteuid().as_raw();
    let uid = metadata.uid();
    if uid != own && uid != 0 {
        warnings.push(format!(
            "the keytab {name} belongs to user {uid}, neither root nor user {own}, who runs this"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::keytab::tests::record;

    /// Root may read everything, so nobody has to be refused here.
    #[test]
    fn a_keytab_of_somebody_else_says_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let metadata = fs::metadata(dir.path()).unwrap();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let user = user_name();
        let uid = metadata.uid();
        let gid = metadata.gid();
        let error = unreadable(Path::new("/k"), &denied, Some(&metadata));
        let expected = format!(
            "user {user} may not read the keytab /k: it belongs to user {uid} and group {gid}, mode 0700"
        );
        assert_eq!(
            (error.problem, error.text),
            (IdentityProblem::KeytabUnreadable, expected)
        );
        let error = unreadable(Path::new("/a/k"), &denied, None);
        assert!(
            error
                .text
                .contains("may not enter a directory on the way to the keytab /a/k"),
            "{error}"
        );
    }

    #[test]
    fn each_state_of_a_keytab_has_its_message() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flume.keytab");
        let name = path.display().to_string();
        let login = Login {
            principal: "flume/h@R".into(),
            keytab: path.clone(),
        };
        let fails = |login: &Login, problem: IdentityProblem, expected: &str| {
            let error = check(login).unwrap_err();
            assert_eq!((error.problem, error.text.as_str()), (problem, expected));
        };
        fails(
            &login,
            IdentityProblem::KeytabMissing,
            &format!("the keytab {name} does not exist"),
        );
        let directory = Login {
            keytab: dir.path().into(),
            ..login.clone()
        };
        let text = format!("the keytab {} is not a file", dir.path().display());
        fails(&directory, IdentityProblem::KeytabUnreadable, &text);

        let whole = [
            &[5, 2][..],
            &record("flume/h@R", 3, 18),
            &record("hdfs/h@R", 3, 23),
        ]
        .concat();
        fs::write(&path, &whole[..40]).unwrap();
        fails(
            &login,
            IdentityProblem::KeytabBroken,
            &format!("the keytab {name} is truncated: of entry 1 there are 34 of 40 bytes"),
        );

        fs::write(&path, &whole).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(check(&login).unwrap().warnings, Vec::<String>::new());
        let other = Login {
            principal: "nifi/h@R".into(),
            ..login.clone()
        };
        let text =
            format!("the keytab {name} has no key of nifi/h@R; it has keys of flume/h@R, hdfs/h@R");
        fails(&other, IdentityProblem::PrincipalNotInKeytab, &text);

        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let warning =
            format!("the keytab {name} is open to everybody, mode 0644: chmod 400 {name}");
        assert_eq!(check(&login).unwrap().warnings, [warning]);
        fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        let weak = Login {
            principal: "hdfs/h".into(),
            ..login
        };
        let warnings = check(&weak).unwrap().warnings;
        assert!(
            warnings[0].contains("open to its group") && warnings[1].contains("arcfour-hmac"),
            "{warnings:?}"
        );
    }
}
