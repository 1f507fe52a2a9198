//! What is in flight: shards that are scanned and row groups that are encoded, each in its order again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Rejects, Writer};
use crate::engine::{FileEntry, Job, TableLedger};
use crate::genotype::Error;
use crate::genotype::assemble::{Assembler, Group, Rejected};
use crate::genotype::encode::{self, Encoded, Plan, Worker};
use crate::genotype::inputs::Contexts;
use crate::genotype::shard::ShardRows;
use crate::genotype::source::Source;
use crate::genotype::summary::SampleSums;
use crate::genotype::work::{Feed, Shard, Tuning, scan};

/// What all workers read.
pub(super) struct Shared<'a> {
    pub sources: &'a [Source],
    pub contexts: &'a Contexts,
    pub plan: &'a Plan,
    pub workers: &'a [Mutex<Worker>],
}

impl Shared<'_> {
    /// What the worker that runs this keeps; never contended, as a worker does one thing at a time.
    fn worker(&self) -> MutexGuard<'_, Worker> {
        let index = rayon::current_thread_index().unwrap_or(0);
        self.workers[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Message {
    Scanned(u64, usize, u64, Box<Result<ShardRows, Error>>),
    Encoded(u64, Result<Encoded, Error>),
}

/// The coordinator: it alone starts work, keeps the order and writes.
pub(super) struct Run<'a> {
    shared: &'a Shared<'a>,
    job: &'a Job,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    assembler: Assembler<'a>,
    rejects: Rejects,
    writer: Writer<'a>,
}

/// What is known when all rows are written.
pub(super) struct Done {
    pub files: Vec<FileEntry>,
    pub rejects: Rejects,
    pub ledger: TableLedger,
    pub samples: SampleSums,
}

/// Runs `work`; a panic becomes an error, so that the coordinator never waits for a dead worker.
pub(in crate::genotype) fn guarded<T>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::Internal { what, detail: "a worker panicked".to_owned() }))
}

impl<'a> Run<'a> {
    pub(super) fn new(
        (shared, job): (&'a Shared<'a>, &'a Job),
        assembler: Assembler<'a>,
        rejects: Rejects,
        writer: Writer<'a>,
    ) -> Self {
        let (sender, receiver) = channel();
        Self { shared, job, sender, receiver, assembler, rejects, writer }
    }

    /// Does everything; returns when all rows are on disk.
    pub(super) fn drive<'s>(
        mut self,
        scope: &rayon::Scope<'s>,
        tuning: Tuning,
    ) -> Result<Done, Error>
    where
        'a: 's,
    {
        let total = self.shared.sources.iter().map(|s| s.bytes().len() as u64).sum();
        self.job.progress.expect(total);
        let ahead = 2 * self.job.threads as u64 + 2;
        let encoders = self.job.threads as u64 + 1;
        let mut feeds = self.shared.sources.iter().enumerate();
        let mut feed: Option<(usize, Feed<'a>)> = None;
        let (mut started, mut assembled) = (0u64, 0u64);
        let (mut encoding, mut written) = (0u64, 0u64);
        let mut scanned = BTreeMap::new();
        let mut encoded = BTreeMap::new();
        let mut exhausted = false;
        loop {
            self.job.check()?;
            while !exhausted && started - assembled < ahead && encoding - written < encoders {
                match Self::next_shard(&mut feeds, &mut feed, tuning)? {
                    Some((file, shard, weight)) => {
                        self.spawn_scan(scope, started, file, shard, weight);
                        started += 1;
                    }
                    None => exhausted = true,
                }
            }
            if exhausted && started == assembled {
                break;
            }
            self.receive(&mut scanned, &mut encoded)?;
            while let Some((file, weight, rows)) = scanned.remove(&assembled) {
                self.assembler.add(file, rows?)?;
                self.job.progress.advance(weight);
                assembled += 1;
                for group in self.assembler.take_groups() {
                    self.spawn_encode(scope, encoding, group);
                    encoding += 1;
                }
                self.rejects.write(placed(self.shared.sources, self.assembler.take_rejected()))?;
            }
            self.write_ready(&mut encoded, &mut written)?;
        }
        self.assembler.finish()?;
        for group in self.assembler.take_groups() {
            self.spawn_encode(scope, encoding, group);
            encoding += 1;
        }
        self.rejects.write(placed(self.shared.sources, self.assembler.take_rejected()))?;
        while written < encoding {
            self.write_ready(&mut encoded, &mut written)?;
            if written < encoding {
                self.receive(&mut scanned, &mut encoded)?;
            }
        }
        let (files, rejects) = (self.writer.finish()?, self.rejects);
        Ok(Done { files, rejects, ledger: self.assembler.ledger, samples: self.assembler.samples })
    }

    fn next_shard(
        feeds: &mut impl Iterator<Item = (usize, &'a Source)>,
        feed: &mut Option<(usize, Feed<'a>)>,
        tuning: Tuning,
    ) -> Result<Option<(usize, Shard, u64)>, Error> {
        loop {
            if let Some((file, current)) = feed {
                let before = current.consumed();
                if let Some(shard) = current.next()? {
                    return Ok(Some((*file, shard, current.consumed().saturating_sub(before))));
                }
            }
            match feeds.next() {
                Some((file, source)) => *feed = Some((file, Feed::new(source, tuning))),
                None => return Ok(None),
            }
        }
    }

    fn spawn_scan<'s>(
        &self,
        scope: &rayon::Scope<'s>,
        number: u64,
        file: usize,
        shard: Shard,
        weight: u64,
    ) where
        'a: 's,
    {
        let (sender, shared) = (self.sender.clone(), self.shared);
        scope.spawn(move |_| {
            let rows = guarded("scanning a shard", || {
                let scratch = &mut shared.worker().scratch;
                scan(shared.contexts.of(file), &shared.sources[file], &shard, scratch)
            });
            // The receiver is gone only when the run has already failed.
            let _ = sender.send(Message::Scanned(number, file, weight, Box::new(rows)));
        });
    }

    fn spawn_encode<'s>(&self, scope: &rayon::Scope<'s>, number: u64, group: Group)
    where
        'a: 's,
    {
        let (sender, shared) = (self.sender.clone(), self.shared);
        scope.spawn(move |_| {
            let encoded = guarded("encoding a row group", || {
                encode::encode(shared.plan, &mut shared.worker(), &group)
            });
            drop(group);
            let _ = sender.send(Message::Encoded(number, encoded));
        });
    }

    fn receive(
        &self,
        scanned: &mut BTreeMap<u64, (usize, u64, Result<ShardRows, Error>)>,
        encoded: &mut BTreeMap<u64, Result<Encoded, Error>>,
    ) -> Result<(), Error> {
        match self.receiver.recv().map_err(Error::internal("waiting for workers"))? {
            Message::Scanned(number, file, weight, rows) => {
                let rows = *rows;
                scanned.insert(number, (file, weight, rows));
            }
            Message::Encoded(number, result) => {
                encoded.insert(number, result);
            }
        }
        Ok(())
    }

    fn write_ready(
        &mut self,
        encoded: &mut BTreeMap<u64, Result<Encoded, Error>>,
        written: &mut u64,
    ) -> Result<(), Error> {
        while let Some(result) = encoded.remove(written) {
            self.writer.write(result?)?;
            *written += 1;
        }
        Ok(())
    }
}

/// Rejects of PLINK files by the line of the variant in .bim or .pvar.
fn placed(sources: &[Source], mut rejected: Vec<Rejected>) -> Vec<Rejected> {
    for reject in &mut rejected {
        if let Some(plink) = &sources[reject.file].plink {
            reject.line = plink.line(reject.line);
        }
    }
    rejected
}
