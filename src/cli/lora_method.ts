/** What `--method lora` adds to `tfjs-owlore finetune`. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {applyLora, type LoraOptions} from '../lora/index';
import type {FinetuneSettings} from './finetune_options';
import {asUsage} from './usage_error';

/** The options of `applyLora`. */
export function loraOptionsOf({
  rank,
  loraAlpha: alpha,
  loraDropout: dropout,
  targets,
  seed,
}: FinetuneSettings): LoraOptions {
  return {rank, alpha, dropout, targets: targetsIn(targets), seed};
}

/** The targets in a list of them, as the command line has it. */
export function targetsIn(list: string): string[] {
  return list.split(',').map((target) => target.trim());
}

/** @throws UsageError if a model cannot be adapted with these options. */
export function checkLora(settings: FinetuneSettings, model: tfl.LayersModel): void {
  if (settings.method !== 'lora') return;
  asUsage(() => applyLora(model, loraOptionsOf(settings))).remove();
}

/** How many masks of dropout were drawn until a checkpoint, from what it has beside the training. */
export function masksIn(extra: unknown): number {
  const {dropoutMasks = 0} = (extra ?? {}) as {dropoutMasks?: number};
  return dropoutMasks;
}
