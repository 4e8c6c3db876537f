/** Refuses a run of `tfjs-owlore finetune` that cannot fit into memory, before it loads anything. */
import {estimateMemory} from '../memory/estimate/index';
import {maxBatchSize} from '../memory/estimate/options';
import type {Context} from './command';
import {contentsOf} from './data_contents';
import {meaningless, type FinetuneSettings} from './finetune_options';
import {rankOf} from './lora_method';
import {estimateOptionsOf, type SizedOptions} from '../memory/estimated_settings';
import {MemoryFit, type Change} from '../memory/memory_fit';
import {flagOf} from './options';
import {nextTurn} from '../common/next_turn';
import {bytesText, leastMemoryFor, memoryFor, memoryLimit, type MemoryLimit} from '../memory/limit';
import type {OpenedModel} from './model_options';
import type {BackendName} from './register_backend';
import {UsageError} from './usage_error';

type Settings = FinetuneSettings & {backend: BackendName};

/**
 * Estimates the run, and notes it if it may not fit.
 *
 * @throws UsageError if it cannot fit, even if the estimate is as much too high as it can be.
 */
export async function checkMemory(
  settings: Settings,
  {configJson: config, config: described}: Pick<OpenedModel, 'configJson' | 'config'>,
  {console, given}: Context,
  limit: MemoryLimit | null = memoryLimit(settings.backend),
): Promise<void> {
  // the memory of PyTorch's processes is not estimated
  if (!limit || settings.engine !== 'tfjs') return;
  const {backend, data, fields, packing, force, resume} = settings;
  const optionsOf = (run: Settings): SizedOptions => {
    const options = estimateOptionsOf(run, described);
    // more is never there, nor can it be estimated
    return {...options, batchSize: Math.min(options.batchSize, maxBatchSize(options.maxLength))};
  };
  let run = settings;
  const total = (): number | null => attempt(() => estimateMemory(config, optionsOf(run)).total);
  const isTooMuch = (tensors: number): boolean => leastMemoryFor(backend, tensors) > limit.bytes;
  let tensors = total();
  if (tensors !== null && isTooMuch(tensors) && !packing && resume === undefined) {
    // fewer examples make smaller batches
    const {examples} = await contentsOf(data, fields, console);
    run = {...run, batchSize: Math.max(1, Math.min(run.batchSize, examples))};
    tensors = total();
  }
  // an option that is wrong is reported elsewhere
  if (tensors === null) return;
  const needed = memoryFor(backend, tensors);
  if (needed <= limit.bytes) return;
  if (resume !== undefined) {
    const what = `the run in ${resume} has steps of some ${bytesText(tensors)} of tensors, and ${limit.what} is ${bytesText(limit.bytes)}`;
    if (force || !isTooMuch(tensors)) {
      console.note(`${what}: it may not fit`);
      return;
    }
    throw new UsageError(
      `finetune: ${what}: it cannot go on here; go on on a machine with more, or with --force`,
    );
  }
  const has = `a step takes some ${bytesText(tensors)} of tensors, and ${limit.what} is ${bytesText(limit.bytes)}`;
  const fit = new MemoryFit<Settings>({
    ...{config, described, settings: run, optionsOf},
    // an adapter that is there has its own rank
    meaningless: (changed) => ({...meaningless(changed), ...(run.adapter && {rank: '--adapter'})}),
    loraRank: rankOf({...run, method: 'lora'}, given),
    fits: (bytes) => memoryFor(backend, bytes) <= limit.bytes,
    nextTurn, // in which signals are looked at
  });
  const proposals = await fit.proposals();
  const wayOut =
    proposals.length > 0
      ? `${proposals.map(({change}) => flagsOf(change)).join(', or ')} fits`
      : `even ${flagsOf((await fit.smallest()).change)} does not fit`;
  if (force || !isTooMuch(tensors)) {
    console.note(`${has}: it may not fit; ${wayOut}`);
    return;
  }
  throw new UsageError(`finetune: this run cannot fit: ${has}; ${wayOut}, or go on with --force`);
}

/** What `f` gives; null if it throws. */
function attempt<T>(f: () => T): T | null {
  try {
    return f();
  } catch {
    return null;
  }
}

/** `--gamma 3 --batch-size 2`. */
export function flagsOf(change: Change): string {
  return Object.entries(change)
    .map(([name, value]) => `${flagOf(name)} ${value}`)
    .join(' ');
}
