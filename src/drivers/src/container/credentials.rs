//! Keyword `registry_creds`: what a registry wants to see, from a secret to a file that the tool reads.
//!
//! Part of the `impl` of [`Container`], in a file of its own for its length.

use machine::durable;

use crate::container::tool::Tool;
use crate::container::{Container, Kind, PathBuf};
use crate::driver::Scene;
use crate::failure::Failure;

/// The key of the secret, in the format of the tools.
const KEY: &str = "config.json";

impl Container {
    /// Writes the credentials where only root reads them. None without the keyword.
    ///
    /// # Errors
    ///
    /// A secret that does not exist, or has no such key.
    pub(super) fn credentials(&self, scene: &Scene<'_>) -> Result<Option<PathBuf>, Failure> {
        let Some(name) = &self.credentials else { return Ok(None) };
        let value = crate::keys::value(scene, Kind::Sec, name, KEY)?;
        let file = scene.folder().join("registry_creds").join(KEY);
        durable::write_cache(&file, &value, 0o600).map_err(Failure::io("registry_creds"))?;
        Ok(Some(file))
    }

    /// The arguments that name the file: before the command for one tool, after it for the other.
    pub(super) fn credential_words(
        &self,
        file: Option<&std::path::Path>,
    ) -> (Vec<String>, Vec<String>) {
        let Some(file) = file else { return (vec![], vec![]) };
        match self.tool {
            Tool::Docker => {
                let folder = file.parent().unwrap_or(file).display().to_string();
                (vec!["--config".to_owned(), folder], vec![])
            }
            Tool::Podman => (vec![], vec!["--authfile".to_owned(), file.display().to_string()]),
        }
    }
}
