//! What keywords are for. Asks no daemon, and reads no file.

use cli::DocCommand;
use cli::render::{manual, manual_json, manual_page};

use crate::om::{Done, Failure, Om, print};

/// `om doc`, `om svc doc`.
pub(super) fn run(om: &Om, command: &DocCommand) -> Done {
    if command.is_page {
        print(&manual_page(env!("CARGO_PKG_VERSION")));
        return Ok(0);
    }
    let answer = command.book.look_up(command.name.as_deref());
    let answer = answer.map_err(|unfound| Failure::new(unfound.to_string()))?;
    om.show(&manual_json(&answer), |_| manual(&answer).to_string());
    Ok(0)
}
