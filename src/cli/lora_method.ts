/** What `--method lora` adds to `tfjs-owlore finetune`. */
import {adaptableMatrices, sizesOfModel} from '../memory/estimate/sizes';
import type {ResolvedConfig} from '../llama/config';
import '../lora/index'; // which `paperMethod` has LoRA from
import type {LoraOptions} from '../lora/lora_options';
import {checkRank, targeted} from '../lora/matrices';
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

/** @throws UsageError if a model with this configuration cannot be adapted with these options. */
export function checkLora({method, targets, rank}: FinetuneSettings, config: ResolvedConfig): void {
  if (method !== 'lora') return;
  const matrices = adaptableMatrices(sizesOfModel('finetune', config)!);
  asUsage(() => {
    const adapted = targeted('finetune', targetsIn(targets), matrices, (matrix) => matrix);
    checkRank('finetune', rank, adapted);
  });
}

/** How many masks of dropout were drawn until a checkpoint, from what it has beside the training. */
export function masksIn(extra: unknown): number {
  const {dropoutMasks = 0} = (extra ?? {}) as {dropoutMasks?: number};
  return dropoutMasks;
}
