/** What `--method lora` adds to `tfjs-owlore finetune`. */
import {adaptableMatrices, sizesOfModel} from '../memory/estimate/sizes';
import {targetsIn} from '../memory/estimated_settings';
import type {ResolvedConfig} from '../llama/config';
import '../lora/index'; // which `paperMethod` has LoRA from
import {loraDefaults, type LoraOptions} from '../lora/lora_options';
import {checkRank, targeted, targetModules} from '../lora/matrices';
import type {FoundAdapter} from './adapter';
import type {FinetuneSettings} from './finetune_options';
import type {Given} from './options';
import {asUsage, UsageError} from './usage_error';

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

/** The rank of a method, of which LoRA has another default than the optimizer. */
export function rankOf(
  {method, rank}: Pick<FinetuneSettings, 'method' | 'rank'>,
  given: Given,
): number {
  return method === 'lora' && !given.has('rank') ? loraDefaults.rank : rank;
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

/** Refuses an option that is another one than that of the adapter with which a run goes on. */
function contradicts(
  given: Given,
  name: string,
  is: unknown,
  {source}: FoundAdapter,
  has: unknown,
): UsageError {
  return new UsageError(
    `${given.get(name)!} is ${String(is)}, and the adapter '${source}' has ${String(has)}; leave it out`,
  );
}

/**
 * The options of a run that goes on with an adapter, as far as the adapter has them.
 *
 * @throws UsageError if one was given that is another.
 */
export function optionsOfAdapter(
  adapter: FoundAdapter,
  settings: FinetuneSettings,
  given: Given,
): Partial<FinetuneSettings> {
  const {rank, alpha, dropout} = adapter.options;
  const own = {method: 'lora', rank, loraAlpha: alpha} as const;
  for (const [name, value] of Object.entries(own)) {
    const is = settings[name as keyof typeof own];
    if (given.has(name) && is !== value) throw contradicts(given, name, is, adapter, value);
  }
  return {
    ...own,
    adapter: adapter.source,
    ...(!given.has('loraDropout') && {loraDropout: dropout}),
  };
}

/**
 * The targets of a run that goes on with an adapter: its matrices, by their shortest names.
 *
 * @throws UsageError if others were given.
 */
export function targetsOfAdapter(
  adapter: FoundAdapter,
  {targets}: FinetuneSettings,
  config: ResolvedConfig,
  given: Given,
): string {
  const matrices = adaptableMatrices(sizesOfModel('finetune', config)!);
  const isIn = ({module}: {module: string}): boolean => adapter.tensors.has(module);
  const modules = matrices.filter(isIn).map(({module}) => module);
  const names = targetModules(
    modules,
    matrices.map(({module}) => module),
  ).join(',');
  if (given.has('targets')) {
    const wanted = asUsage(() =>
      targeted('finetune', targetsIn(targets), matrices, (matrix) => matrix),
    );
    if (wanted.length !== modules.length || !wanted.every(isIn))
      throw contradicts(given, 'targets', targets, adapter, names);
  }
  return names;
}

/** How many masks of dropout were drawn until a checkpoint, from what it has beside the training. */
export function masksIn(extra: unknown): number {
  const {dropoutMasks = 0} = (extra ?? {}) as {dropoutMasks?: number};
  return dropoutMasks;
}
