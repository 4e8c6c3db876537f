/** The optimizer of a run, its callback and its adapters. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {
  paperMethod,
  paperMethods,
  type MethodParts,
  type PaperMethod,
  type PaperMethodOptions,
} from '../methods';
import type {OwLoreOptions} from '../owlore/optimizer/options';
import type {BlockSampling} from './block_sampling';
import {trainEmbedding} from '../memory/estimate/embedding_mode';
import type {FoundAdapter} from './adapter';
import {rateGroups} from './embedding_mode';
import type {FinetuneSettings} from './finetune_options';
import {loraOptionsOf} from './lora_method';
import type {TrainingData} from './training_data';
import {rateOf} from '../training_defaults';
import {updateRules} from '../owlore/optimizer/rules';

/** All that a run needs to begin. */
export interface Plan {
  /** The options in effect. */
  settings: FinetuneSettings;
  /** What the run goes on with, if it does not begin with new adapters. */
  adapter: FoundAdapter | null;
  data: TrainingData;
  /** Null if all blocks train. */
  sampling: BlockSampling | null;
}

/**
 * Makes what trains the model of a run, which has the adapters then, and an embedding that trains as the options say. The caller disposes
 * of it.
 *
 * @param initialStep Where the callback begins. Default 0.
 */
export function methodOf(
  {settings, adapter, data, sampling}: Plan,
  model: tfl.LayersModel,
  initialStep?: number,
): PaperMethod {
  const {method, rank, refreshInterval, weightDecay, clipNorm} = settings;
  const {gradientCheckpointing, nonFinite, accumulate} = settings;
  const {lora: isLora = false}: MethodParts = paperMethods[method];
  const options: PaperMethodOptions = {
    learningRate: rateOf({...settings, learningRate: settings.learningRate!}, data.steps),
    ...updateOf(settings),
    ...{rank, refreshInterval, weightDecay, clipNorm, gradientCheckpointing},
    ...{nonFinite, accumulate},
    ...sampling?.options,
    ...(isLora && loraOptionsOf(settings)),
    ...trainEmbedding(settings.embedding, model, method),
    ...(!isLora && rateGroups(settings, model)),
    ...(initialStep !== undefined && {initialStep}),
  };
  const made = paperMethod(method, model, options);
  if (adapter) made.lora!.assign(adapter.called, adapter.tensors, adapter.options);
  return made;
}

/** The update of low-rank matrices, with the scale of its published code, which the default rate is for. */
function updateOf(settings: FinetuneSettings): OwLoreOptions {
  const {update, basis, moments} = settings;
  return {
    ...{update, basis, moments},
    scale: updateRules[update].publishedScale ?? 1,
  };
}
