//! The administrator's password: where a site may keep it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use flume_core::{Code, Span, config::Secret};

use super::{Effective, Node, Origin, Surroundings};

impl Node {
    /// The password itself wins over the file that has it, which wins over the environment.
    pub(super) fn take_password(&mut self, around: &Surroundings) {
        const FILE: &str = "krb5_client.kadmin_password_file";
        let written = self.written_password.take();
        self.password = around.password.clone();
        let file = self
            .settings
            .iter_mut()
            .find(|setting| setting.name == FILE);
        if let Some(Effective {
            text,
            origin: Origin::File(place),
            ..
        }) = file
        {
            // As for any file named in a file: relative to it. Kept absolute, so that a record of it means the same.
            let path = Path::new(&*place.file)
                .parent()
                .unwrap_or(Path::new(""))
                .join(&text);
            let path = std::path::absolute(&path).unwrap_or(path);
            *text = path.display().to_string();
            let place = place.clone();
            match fs::read_to_string(&path) {
                Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => {
                    self.say(
                        Code::NodeFile,
                        place,
                        FILE,
                        format!("{} is empty", path.display()),
                    );
                }
                Ok(text) => {
                    self.password = Some(Secret(text.trim_end_matches(['\r', '\n']).into()));
                    self.warn_if_open(&path, place, FILE);
                }
                Err(_) if written.is_some() => {}
                // Only a keytab that must be made takes the password.
                Err(error) => {
                    let text = format!("{} cannot be read: {error}", path.display());
                    self.say(Code::NodeRemark, place, FILE, text);
                }
            }
        }
        if let Some((password, place)) = written {
            self.password = Some(password);
            let path = PathBuf::from(&*place.file);
            self.warn_if_open(&path, place, "krb5_client.kadmin_password");
        }
    }

    fn warn_if_open(&mut self, path: &Path, place: Span, key: &str) {
        if fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
            let text = format!(
                "everybody may read {}, which holds a password",
                path.display()
            );
            self.hint(
                Code::NodeRemark,
                place,
                key,
                text,
                Some(format!("chmod 600 {}", path.display())),
            );
        }
    }
}
