//! The one place that makes a query session. Every relational plan goes through [`session`], so that a
//! cluster engine can later take the place of the embedded one without a change above this line.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::config::{EncryptionFactoryOptions, TableOptions};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::parquet_encryption::EncryptionFactory;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::object_store;
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::encryption::encrypt::FileEncryptionProperties;

use super::memory::SharedPool;
use super::{Job, Keyring};

/// A session bounded by the job's threads and memory that spills into its scratch folder.
///
/// # Errors
/// When the scratch folder cannot be used.
pub fn session(job: &Job) -> Result<SessionContext, DataFusionError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(SharedPool::new(
            usize::try_from(job.memory).unwrap_or(usize::MAX),
        )))
        .with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::Directories(vec![job.scratch.clone()])),
        )
        .build_arc()?;
    let mut config = SessionConfig::new().with_target_partitions(job.threads).with_batch_size(8192);
    let options = config.options_mut();
    // Column names are OMOP's own; nothing is folded or sniffed.
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.pushdown_filters = true;
    options.execution.collect_statistics = true;
    // A join never writes what it finds on one side (raw ids, for one) into the plan of the other.
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::clone(&runtime))
        .with_default_features();
    let state = if job.keyring.is_empty() {
        state
    } else {
        let keys = SealedTables(job.keyring.clone());
        runtime.register_parquet_encryption_factory(SEALED, Arc::new(keys));
        let mut tables = TableOptions::new();
        tables.parquet.crypto.factory_id = Some(SEALED.to_owned());
        state.with_table_options(tables)
    };
    Ok(SessionContext::new_with_state(state.build()))
}

/// Name of the keys of sealed tables in a session.
const SEALED: &str = "sealed";

/// Opens the tables that a session reads. It writes none.
#[derive(Debug)]
struct SealedTables(Keyring);

#[async_trait]
impl EncryptionFactory for SealedTables {
    async fn get_file_encryption_properties(
        &self,
        _: &EncryptionFactoryOptions,
        _: &SchemaRef,
        _: &object_store::path::Path,
    ) -> Result<Option<Arc<FileEncryptionProperties>>, DataFusionError> {
        Ok(None)
    }

    async fn get_file_decryption_properties(
        &self,
        _: &EncryptionFactoryOptions,
        _: &object_store::path::Path,
    ) -> Result<Option<Arc<FileDecryptionProperties>>, DataFusionError> {
        Ok(self.0.decryption())
    }
}

/// A runtime for driving plans from a stage: `threads` workers, no I/O or clock drivers.
///
/// # Errors
/// When the operating system gives no threads.
pub fn runtime(job: &Job) -> std::io::Result<tokio::runtime::Runtime> {
    // Files are read on threads of their own, and the allocator keeps pages for each: dozens of them, as
    // are the default, held 2 GB that nobody used.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(job.threads)
        .max_blocking_threads(4)
        .build()
}

/// A `file:` URL of an absolute path, so that `*`, `?`, `[` and blanks in a folder's name mean themselves.
pub fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                url.push(byte as char);
            }
            // Writing to a string cannot fail.
            _ => drop(write!(url, "%{byte:02X}")),
        }
    }
    url
}
