//! `strata unshift`: true dates for a re-identification desk, entered in the audit log first.

use std::path::Path;

use super::audit::{Trail, user};
use super::epoch::Naming;
use super::run::create_store;
use super::{Error, Project};
use crate::config::policy;
use crate::identity::{self, Key, Roster, Unshift, Unshifted};
use crate::release::StoreLock;
use crate::release::audit::{Kind, fields};

/// Name of the run in the log and the lock.
const RUN: &str = "unshift";

/// Adds back the shifts of the Registered tier to the dates in `asked` (`research_id,date`; messages call
/// it `name`) for `reason`. What is done and why is in the store's audit log, signed, before anything is
/// returned; so is a refusal. The log has the number of rows and people and the reason, and no value.
///
/// # Errors
/// Text that is not what was asked for; a research id that nobody who takes part has; people whom an
/// imported map lacks; a key, a shift or a map that the store was not made with; a reason that is too
/// short or repeats an id or a date; a store that another run holds. Nothing is answered then.
pub fn unshift(
    project: &Project,
    key: &Key,
    name: &Path,
    asked: &[u8],
    reason: &str,
) -> Result<Unshifted, Error> {
    create_store(&project.store)?;
    let lock = StoreLock::acquire(&project.store, RUN)?;
    let mut trail = Trail::open(&project.store, &lock, RUN, key)?;
    let mut said = fields([("verb", RUN.into()), ("version", env!("CARGO_PKG_VERSION").into())]);
    said.extend(user());
    trail.say(Kind::Start, said)?;
    let answered = answer(project, key, name, asked, reason, &mut trail);
    answered.inspect_err(|error| trail.failed(error))
}

fn answer(
    project: &Project,
    key: &Key,
    name: &Path,
    asked: &[u8],
    reason: &str,
    trail: &mut Trail,
) -> Result<Unshifted, Error> {
    let shifted =
        |policy: &crate::config::TierPolicy| policy.policy.dates == policy::DateBasis::Shifted;
    if !project.registered.as_ref().is_some_and(shifted) {
        return Err(identity::Error::NotShifted.into());
    }
    check_reason(reason)?;
    let asked = Unshift::read(name, asked)?;
    let naming = Naming::of(project, key)?;
    if naming.check(project, trail.log(), false)? {
        // A key that no release was made with has never moved a date.
        return Err(identity::Error::KeyChanged { key: key.kid(), next: 1 }.into());
    }
    trail.key_use(&["rid/registered", "shift"], None)?;
    let roster = Roster::read(&project.path(&project.workflow.participants.roster))?;
    let answer = asked.answer(&naming.registered().people(&roster)?)?;
    if asked.is_in(reason) || answer.is_in(reason) {
        return Err(identity::Error::Reason { why: "repeats an id or a date" }.into());
    }
    let said = [
        ("reason", reason.into()),
        ("rows", answer.rows().into()),
        ("people", answer.people().into()),
        ("key", key.kid().into()),
    ];
    trail.say(Kind::Unshift, fields(said))?;
    trail.sign()?;
    Ok(answer)
}

pub(super) fn check_reason(reason: &str) -> Result<(), Error> {
    let why = match reason.trim().chars().count() {
        0..8 => "is too short to say anything",
        201.. => "is longer than 200 characters",
        _ if reason.chars().any(char::is_control) => "holds control characters",
        _ => return Ok(()),
    };
    Err(identity::Error::Reason { why }.into())
}
