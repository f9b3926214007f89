//! What files ask of NameNodes while they are written.

use prost::bytes::Bytes;
use tokio::time::Instant;

use super::{
    ClientCore,
    data::{TRANSFER_TIMEOUT, storage_ids},
};
use crate::{
    namenode::{
        exceptions::{kind, said},
        messages::{
            AbandonBlockRequest, AddBlockRequest, AdditionalDatanodeRequest, BooleanResponse,
            CompleteRequest, ExtendedBlock, FsyncRequest, LocatedBlock, LocatedBlockResponse,
            NewGenerationRequest, UpdatePipelineRequest,
        },
    },
    rpc::RpcError,
    writer::{BlockCall, CallAnswer, CallFailure, PipelineNode},
};

/// Which file a call is about.
#[derive(Clone)]
pub(super) struct FileRef {
    pub(super) path: String,
    pub(super) file_id: Option<u64>,
}

impl ClientCore {
    /// Makes a call for a file.
    pub(super) async fn block_call(
        &self,
        file: FileRef,
        call: BlockCall,
    ) -> Result<CallAnswer, CallFailure> {
        let called = self.try_block_call(file, call).await;
        called.map_err(|error| CallFailure {
            kind: kind(&error),
            text: said(&error),
        })
    }

    async fn try_block_call(&self, file: FileRef, call: BlockCall) -> Result<CallAnswer, RpcError> {
        let located = |block: LocatedBlock| Ok(CallAnswer::Located(block));
        match call {
            BlockCall::AddBlock { previous, exclude } => {
                located(self.add_block(file, previous, exclude).await?)
            }
            BlockCall::AdditionalDatanode {
                block,
                existing,
                exclude,
            } => located(self.add_node(file, block, &existing, exclude).await?),
            BlockCall::NewGeneration { block } => located(self.new_generation(block).await?),
            BlockCall::UpdatePipeline { old, new, nodes } => {
                self.update_pipeline(old, new, &nodes).await
            }
            BlockCall::Abandon { block } => self.abandon(file, block).await,
            BlockCall::Fsync { length } => self.fsync(file, length).await,
            BlockCall::Complete { last } => self.complete(file, last).await,
        }
    }

    /// A new block. Nodes that have failed lately are not asked for, unless there are no others.
    async fn add_block(
        &self,
        file: FileRef,
        previous: Option<ExtendedBlock>,
        mut exclude: Vec<Bytes>,
    ) -> Result<LocatedBlock, RpcError> {
        for suspect in self.suspects.avoided() {
            if !exclude.contains(&suspect) {
                exclude.push(suspect);
            }
        }
        let mut request = AddBlockRequest {
            path: file.path,
            client_name: self.name.clone(),
            previous,
            exclude,
            file_id: file.file_id,
        };
        let first: Result<LocatedBlockResponse, _> = self.ask("addBlock", &request).await;
        let added = match first {
            Err(error) if has_no_other(&error) && !request.exclude.is_empty() => {
                self.suspects.forgive();
                request.exclude.clear();
                self.ask("addBlock", &request).await?
            }
            other => other?,
        };
        Ok(added.block)
    }

    /// One more node for a block.
    async fn add_node(
        &self,
        file: FileRef,
        block: ExtendedBlock,
        existing: &[PipelineNode],
        mut exclude: Vec<Bytes>,
    ) -> Result<LocatedBlock, RpcError> {
        exclude.extend(self.suspects.avoided());
        let request = AdditionalDatanodeRequest {
            path: file.path,
            block,
            existing: existing.iter().map(|node| node.info.clone()).collect(),
            exclude,
            count: 1,
            client_name: self.name.clone(),
            existing_storage_ids: storage_ids(existing),
            file_id: file.file_id,
        };
        let deadline = self.deadline().min(Instant::now() + TRANSFER_TIMEOUT);
        let added: LocatedBlockResponse = self
            .namenodes
            .call("getAdditionalDatanode", &request, deadline)
            .await?;
        Ok(added.block)
    }

    async fn new_generation(&self, block: ExtendedBlock) -> Result<LocatedBlock, RpcError> {
        let request = NewGenerationRequest {
            block,
            client_name: self.name.clone(),
        };
        let renewed: LocatedBlockResponse = self.ask("updateBlockForPipeline", &request).await?;
        Ok(renewed.block)
    }

    async fn update_pipeline(
        &self,
        old: ExtendedBlock,
        new: ExtendedBlock,
        nodes: &[PipelineNode],
    ) -> Result<CallAnswer, RpcError> {
        let request = UpdatePipelineRequest {
            client_name: self.name.clone(),
            old_block: old,
            new_nodes: nodes.iter().map(|node| node.id.clone()).collect(),
            storage_ids: storage_ids(nodes),
            new_block: new.clone(),
        };
        let updated: Result<BooleanResponse, _> = self.ask("updatePipeline", &request).await;
        match updated {
            // An earlier attempt has arrived, and the NameNode has forgotten the call.
            Err(error) if is_applied(&error, &new) => Ok(CallAnswer::Done),
            other => other.map(|_| CallAnswer::Done),
        }
    }

    async fn abandon(&self, file: FileRef, block: ExtendedBlock) -> Result<CallAnswer, RpcError> {
        let request = AbandonBlockRequest {
            block,
            path: file.path,
            holder: self.name.clone(),
            file_id: file.file_id,
        };
        let _: BooleanResponse = self.ask("abandonBlock", &request).await?;
        Ok(CallAnswer::Done)
    }

    async fn fsync(&self, file: FileRef, length: u64) -> Result<CallAnswer, RpcError> {
        let request = FsyncRequest {
            path: file.path,
            client_name: self.name.clone(),
            last_block_length: Some(length as i64),
            file_id: file.file_id,
        };
        let _: BooleanResponse = self.ask("fsync", &request).await?;
        Ok(CallAnswer::Done)
    }

    async fn complete(
        &self,
        file: FileRef,
        last: Option<ExtendedBlock>,
    ) -> Result<CallAnswer, RpcError> {
        let request = CompleteRequest {
            path: file.path,
            client_name: self.name.clone(),
            last,
            file_id: file.file_id,
        };
        let complete: BooleanResponse = self.ask("complete", &request).await?;
        Ok(CallAnswer::Complete(complete.result == Some(true)))
    }
}

/// Whether the NameNode found no DataNode that is not excluded.
fn has_no_other(error: &RpcError) -> bool {
    let text = error.to_string();
    text.contains("could only be") && text.contains("excluded")
}

/// Whether the NameNode has the new generation already.
fn is_applied(error: &RpcError, new: &ExtendedBlock) -> bool {
    let text = error.to_string();
    let generation = new.generation_stamp.to_string();
    text.contains("does not have a larger generation stamp")
        && text
            .split(|c: char| !c.is_ascii_digit())
            .any(|number| number == generation)
}
