export {owlore, OwLoreOptimizer} from './owlore/owlore_optimizer';
export type {LearningRateGroup, OwLoreOptions} from './owlore/optimizer/options';
export type {BasisFunction} from './owlore/optimizer/options';
export type {Side} from './kernels/kernel_names';
export {cosineDecay, linearDecay, warmup} from './owlore/optimizer/schedule';
export type {DecayOptions, LearningRate, Schedule} from './owlore/optimizer/schedule';

export {LayerSamplingCallback} from './owlore/layer_sampling_callback';
export type {
  FreezeEvent,
  LayerSamplingEmitter,
  LayerSamplingEvents,
  SampleEvent,
} from './owlore/layer_sampling_callback';
export type {LayerSamplingState} from './owlore/sampling/saved_state';
export type {LayerSamplingOptions} from './owlore/sampling/options';
export type {RefreshEvent} from './owlore/sampling_plan';
export {paperMethod} from './methods';
export type {PaperMethod, PaperMethodName, PaperMethodOptions} from './methods';
export {samplingProbabilities} from './owlore/sampling/probabilities';
export type {
  SamplingProbabilities,
  SamplingProbabilityOptions,
} from './owlore/sampling/probabilities';
export type {BlockHistory} from './owlore/sampling/periods';
export type {SamplerName} from './owlore/sampling/samplers';

export {CheckpointCallback} from './checkpoint/checkpoint_callback';
export type {CheckpointCallbackOptions} from './checkpoint/checkpoint_callback';
export type {CheckpointParts} from './checkpoint/parts';
export {resumeCheckpoint} from './checkpoint/resume_checkpoint';
export type {ResumeCheckpointOptions, ResumedCheckpoint} from './checkpoint/resume_checkpoint';
export {saveCheckpoint} from './checkpoint/save_checkpoint';
export type {SaveCheckpointOptions, SavedCheckpoint} from './checkpoint/save_checkpoint';
export type {
  DirectoryHandle,
  FileHandle,
  SyncHandle,
  WritableHandle,
} from './files/directory_handle';
export type {ModelTarget} from './files/sink';

export {findBlocks} from './model/blocks';
export type {Block, BlockSelector} from './model/blocks';
export type {VariableInfo, VariableSelector} from './model/variable_selector';

export {blockInfluenceScores} from './owlore/scores/block_influence';
export type {BlockInfluenceOptions, BlockInfluenceScores} from './owlore/scores/block_influence';
export type {CalibrationBatch, CalibrationBatches} from './owlore/scores/calibration';
export {outlierScores} from './owlore/scores/outlier';
export type {OutlierScoreOptions, OutlierScores} from './owlore/scores/outlier';
export {relativeMagnitudeScores} from './owlore/scores/relative_magnitude';
export type {
  RelativeMagnitudeOptions,
  RelativeMagnitudeScores,
} from './owlore/scores/relative_magnitude';
export type {BlockScores, ScoresInput} from './owlore/scores/scores';

export {recomputeGrad} from './tape/recompute';
export type {GradientCheckpointing} from './tape/recompute_layers';
export {leanOptimizer} from './tape/lean_optimizer';
export {valueAndGrads, variableGrads} from './tape/tfjs_gradients';

export {setThreads} from './kernels/wasm/thread_count';
