export {owlore, OwLoreOptimizer} from './owlore_optimizer';
export type {LearningRateGroup, OwLoreOptions} from './optim/owlore_options';
export type {BasisFunction} from './optim/basis_function';
export type {Side} from './kernels/kernel_names';
export {cosineDecay, linearDecay, warmup} from './optim/schedule';
export type {DecayOptions, LearningRate, Schedule} from './optim/schedule';

export {LayerSamplingCallback} from './layer_sampling_callback';
export type {
  FreezeEvent,
  LayerSamplingEmitter,
  LayerSamplingEvents,
  SampleEvent,
} from './layer_sampling_callback';
export type {LayerSamplingState} from './layer_sampling/saved_state';
export type {LayerSamplingOptions} from './layer_sampling_options';
export type {RefreshEvent} from './sampling_plan';
export {paperMethod} from './methods';
export type {PaperMethod, PaperMethodName, PaperMethodOptions} from './methods';
export type {Lora} from './lora/lora';
export type {LoraOptions} from './lora/lora_options';
export type {LoraTarget, LoraTargets} from './lora/targets';
export type {SaveLoraOptions} from './lora/adapter_files';
export {samplingProbabilities} from './sampling/probabilities';
export type {SamplingProbabilities, SamplingProbabilityOptions} from './sampling/probabilities';
export type {BlockHistory} from './sampling/periods';
export type {SamplerName} from './sampling/samplers';

export {CheckpointCallback} from './checkpoint/checkpoint_callback';
export type {CheckpointCallbackOptions} from './checkpoint/checkpoint_callback';
export type {CheckpointParts} from './checkpoint/parts';
export {resumeCheckpoint} from './checkpoint/resume_checkpoint';
export type {ResumeCheckpointOptions, ResumedCheckpoint} from './checkpoint/resume_checkpoint';
export {saveCheckpoint} from './checkpoint/save_checkpoint';
export type {SaveCheckpointOptions, SavedCheckpoint} from './checkpoint/save_checkpoint';
export type {ModelTarget} from './files/sink';

export {findBlocks} from './model/blocks';
export type {Block, BlockSelector} from './model/blocks';
export type {VariableInfo, VariableSelector} from './model/variable_selector';

export {blockInfluenceScores} from './scores/block_influence';
export type {BlockInfluenceOptions, BlockInfluenceScores} from './scores/block_influence';
export type {CalibrationBatch, CalibrationBatches} from './scores/calibration';
export {outlierScores} from './scores/outlier';
export type {OutlierScoreOptions, OutlierScores} from './scores/outlier';
export {relativeMagnitudeScores} from './scores/relative_magnitude';
export type {RelativeMagnitudeOptions, RelativeMagnitudeScores} from './scores/relative_magnitude';
export type {BlockScores, ScoresInput} from './scores/scores';

export {recomputeGrad} from './tape/recompute';
export type {GradientCheckpointing} from './tape/recompute_layers';
export {leanOptimizer} from './lean_optimizer';
export {valueAndGrads, variableGrads} from './tape/tfjs_gradients';
